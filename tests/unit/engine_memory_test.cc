// Blocks, storages, strided reads, segments: what a session keeps.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>

#include "src/base/memory_text.h"
#include "src/engine/block_pool.h"
#include "src/engine/collector.h"
#include "src/engine/plan_cache.h"
#include "src/engine/segment_store.h"
#include "src/engine/strided.h"
#include "src/engine/value_table.h"
#include "tests/support/segment_builder.h"

namespace moai::engine {
namespace {

// Plain memory, counted.
class HostDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  void* allocate(uint64_t bytes) override {
    if (held + bytes > limit) return nullptr;
    held += bytes;
    return std::aligned_alloc(kBlockAlignBytes, bytes);
  }
  void free(void* block, uint64_t bytes) override {
    held -= bytes;
    std::free(block);
  }
  StatusOr<std::unique_ptr<Executable>> load(const Program&) override {
    return unimplemented("[load] no kernels");
  }
  Status run(Executable&, std::span<void* const>, void*) override { return ok_status(); }
  void copy_in(void* block, const void* host, uint64_t bytes) override {
    std::memcpy(block, host, bytes);
  }
  void copy_out(void* host, const void* block, uint64_t bytes) override {
    std::memcpy(host, block, bytes);
  }
  uint64_t held = 0, limit = UINT64_MAX;

 private:
  DeviceInfo info_;
};

TEST_CASE("size classes hold what was asked and lose at most an eighth") {
  for (uint64_t bytes = 1; bytes < (uint64_t{1} << 40); bytes += bytes / 7 + 1) {
    uint64_t size = BlockPool::class_bytes(bytes);
    REQUIRE(size >= bytes);
    REQUIRE(size % kBlockAlignBytes == 0);
    REQUIRE(size - bytes <= bytes / 8 + kBlockAlignBytes);
    REQUIRE(BlockPool::class_bytes(size) == size);
  }
}

TEST_CASE("a block that was put back is taken again without the device") {
  HostDevice device;
  FixedLender lender(uint64_t{1} << 30);
  BlockPool pool(device, lender);
  StatusOr<Block> first = pool.take(5000);
  REQUIRE(first.ok());
  pool.put(*first);
  StatusOr<Block> second = pool.take(4999);
  REQUIRE(second->data == first->data);
  REQUIRE(pool.device_allocations() == 1);
  pool.put(*second);
  pool.trim();
  REQUIRE(device.held == 0);
  REQUIRE(lender.available() == uint64_t{1} << 30);
}

TEST_CASE("what was granted is used without asking the lender") {
  struct CountingLender final : MemoryLender {
    uint64_t borrow(uint64_t bytes) override { return asked++, bytes; }
    void give_back(uint64_t) override {}
    uint64_t available() override { return asked++, 0; }
    int asked = 0;
  };
  HostDevice device;
  CountingLender lender;
  BlockPool pool(device, lender);
  Block block = *pool.take(4096);
  REQUIRE(lender.asked == 1);
  REQUIRE(pool.has_room(4096));
  REQUIRE(lender.asked == 1);
  REQUIRE_FALSE(pool.has_room(uint64_t{1} << 40));
  REQUIRE(lender.asked == 2);
  pool.put(block);
}

TEST_CASE("kept blocks make room for a block of another size before memory is out") {
  HostDevice device;
  FixedLender lender(1 << 20);
  BlockPool pool(device, lender);
  std::vector<Block> blocks;
  for (int i = 0; i < 16; i++) blocks.push_back(*pool.take(64 << 10));
  REQUIRE_FALSE(pool.take(256).ok());
  for (Block block : blocks) pool.put(block);
  StatusOr<Block> all = pool.take(1 << 20);
  REQUIRE(all.ok());
  REQUIRE(pool.take(256).status().code() == StatusCode::resource_exhausted);
  pool.put(*all);
}

TEST_CASE("a device that is full is no crash") {
  HostDevice device;
  device.limit = 100'000;
  FixedLender lender(uint64_t{1} << 30);
  BlockPool pool(device, lender);
  REQUIRE(pool.take(200'000).status().code() == StatusCode::resource_exhausted);
  REQUIRE(pool.used_bytes() == 0);
}

TEST_CASE("storages are found until they die, in any order") {
  HostDevice device;
  FixedLender lender(uint64_t{1} << 30);
  BlockPool pool(device, lender);
  ValueTable values(pool);
  std::set<uint64_t> alive;
  std::mt19937 random(7);
  uint64_t next = 1;
  for (int round = 0; round < 5000; round++) {
    if (alive.empty() || random() % 5 < 3) {
      values.put(next, 100, *pool.take(100));
      alive.insert(next++);
    } else {
      auto at = alive.lower_bound(random() % next);
      if (at == alive.end()) at = alive.begin();
      values.erase(*at);
      alive.erase(at);
    }
  }
  REQUIRE(values.size() == alive.size());
  for (uint64_t id = 1; id < next; id++)
    REQUIRE((values.find(id) != nullptr) == (alive.count(id) == 1));
  REQUIRE(values.live_bytes() == alive.size() * 256);
  values.clear();
  REQUIRE(pool.used_bytes() == 0);
}

wire::View view_of(const Shape& sizes, const Shape& strides, int64_t offset) {
  wire::View view;
  view.sizes = sizes;
  view.strides = strides;
  view.offset = offset;
  return view;
}

TEST_CASE("a strided read gathers in row-major order") {
  HostDevice device;
  std::vector<float> block(64);
  std::vector<std::byte> host;
  for (size_t i = 0; i < block.size(); i++) block[i] = static_cast<float>(i);
  auto read = [&](const wire::View& view) {
    REQUIRE(check_view(view, block.size() * 4).ok());
    std::vector<float> out(view_bytes(view) / 4);
    gather(device, view, reinterpret_cast<std::byte*>(block.data()), host,
           reinterpret_cast<std::byte*>(out.data()));
    return out;
  };
  CHECK(read(view_of({2, 3}, {3, 1}, 4)) == std::vector<float>{4, 5, 6, 7, 8, 9});
  CHECK(read(view_of({3, 2}, {1, 3}, 0)) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(read(view_of({2, 2, 2}, {32, 8, 2}, 1)) == std::vector<float>{1, 3, 9, 11, 33, 35, 41, 43});
  CHECK(read(view_of({2, 3}, {0, 0}, 63)) == std::vector<float>(6, 63));
  CHECK(read(view_of({0, 3}, {3, 1}, 0)).empty());
  CHECK(read(view_of({}, {}, 9)) == std::vector<float>{9});
}

TEST_CASE("views outside their storage are refused") {
  CHECK_FALSE(check_view(view_of({4}, {1}, 1), 16).ok());
  CHECK(check_view(view_of({4}, {1}, 0), 16).ok());
  CHECK_FALSE(check_view(view_of({2}, {-1}, 0), 16).ok());
  CHECK_FALSE(check_view(view_of({-1}, {1}, 0), 16).ok());
  CHECK_FALSE(check_view(view_of({2, 2}, {1}, 0), 16).ok());
  int64_t huge = int64_t{1} << 62;
  CHECK_FALSE(check_view(view_of({huge, huge}, {0, 0}, 0), 16).ok());
  CHECK_FALSE(check_view(view_of({2}, {huge}, huge), 16).ok());
}

TEST_CASE("ops that continue nothing are refused, and a first row begins anew") {
  testing::SegmentBuilder builder;
  auto x = builder.input(DType::f32, {2});
  builder.op("neg").tensor(x).out({x});
  wire::Ops ops;
  ops.part = builder.segment();
  Collector collector;
  REQUIRE(collector.add(ops).ok());
  REQUIRE(collector.add(ops).ok());
  ops.first_op = 5;
  REQUIRE_FALSE(collector.add(ops).ok());
  REQUIRE(collector.finish({1, 2})->op_count() == 1);
}

TEST_CASE("bindings are differences of the last execution, for 256 segments") {
  testing::SegmentBuilder builder;
  builder.input(DType::f32, {2});
  builder.input(DType::f32, {2});
  builder.fresh(DType::f32, {2});
  const wire::Segment& segment = builder.segment();
  RecentBindings recent;
  wire::Execute execute;
  execute.segment = {1, 1};
  execute.bindings = {{0, 10}, {1, 11}};
  REQUIRE(**recent.update(segment, execute) == std::vector<uint64_t>{10, 11, 0});
  execute.is_whole = false;
  execute.bindings = {{1, 12}};
  REQUIRE(**recent.update(segment, execute) == std::vector<uint64_t>{10, 12, 0});
  execute.bindings = {{2, 12}};
  REQUIRE_FALSE(recent.update(segment, execute).ok());

  wire::Execute other = execute;
  other.is_whole = true;
  other.bindings = {{0, 10}, {1, 11}};
  for (uint64_t i = 0; i < kRecentSegments; i++) {
    other.segment = {2, i};
    REQUIRE(recent.update(segment, other).ok());
  }
  execute.bindings = {};
  REQUIRE_FALSE(recent.update(segment, execute).ok());
  REQUIRE(recent.size() == kRecentSegments);
}

TEST_CASE("definitions past the limit are dropped, the least recently used first") {
  testing::SegmentBuilder builder;
  auto x = builder.input(DType::f32, {2});
  builder.op("neg").tensor(x).out({x});
  SegmentStore store(2000);
  for (uint64_t i = 1; i <= 50; i++) {
    builder.segment().id = {i, i};
    REQUIRE(store.define(builder.segment()).ok());
    if (i > 1) REQUIRE(store.find({1, 1}) != nullptr);
  }
  REQUIRE(store.size() < 50);
  REQUIRE(store.find({50, 50}) != nullptr);
  REQUIRE(store.find({2, 2}) == nullptr);
}

TEST_CASE("amounts of memory are read and written") {
  CHECK(*parse_bytes("256MiB") == 256u << 20);
  CHECK(*parse_bytes("1.5 GiB") == 3u << 29);
  CHECK(*parse_bytes("4096") == 4096);
  for (const char* bad : {"", "MiB", "12 parsecs", "-1", "1e300"})
    CHECK_FALSE(parse_bytes(bad).ok());
  CHECK(format_bytes(1536) == "1.50 KiB");
  Status full = out_of_memory_status(3 << 20, 1 << 20, 4 << 20);
  CHECK(full.code() == StatusCode::resource_exhausted);
  CHECK(full.message().find("CUDA out of memory. Tried to allocate 3.00 MiB") == 0);
  CHECK(full.message().find(">> Memory available : 1048576 bytes") != std::string::npos);
}

TEST_CASE("plans of segments that never come back take no more than they may") {
  HostDevice device;
  int compiled = 0;
  auto compile = [&](const wire::Segment&, std::span<const uint32_t>) -> StatusOr<sched::Plan> {
    compiled++;
    sched::Plan plan;
    plan.programs.resize(1);
    plan.programs[0].program.kernels.resize(4);
    return plan;
  };
  constexpr uint64_t kBytesMax = 1 << 20;
  PlanCache cache(device, compile, kBytesMax);
  wire::Segment segment;
  const std::vector<uint32_t> live_out{0};
  size_t most = 0;
  for (uint64_t i = 1; i <= 5000; i++) {
    segment.id = {i, ~i};
    REQUIRE(cache.compile(segment, live_out).ok());
    REQUIRE(cache.bytes() <= kBytesMax);
    most = std::max(most, cache.size());
  }
  CHECK(most <= kBytesMax / (4 * 2048));
  CHECK(most >= kBytesMax / (8 * 2048));
  CHECK(cache.find({5000, ~uint64_t{5000}}, live_out) != nullptr);
  CHECK(cache.find({4990, ~uint64_t{4990}}, live_out) != nullptr);
  CHECK(cache.find({1, ~uint64_t{1}}, live_out) == nullptr);
  segment.id = {1, ~uint64_t{1}};
  CHECK(cache.compile(segment, live_out).ok());
  CHECK(compiled == 5001);
}

}  // namespace
}  // namespace moai::engine
