// Launches that run as one: only those that touch nothing of each other, with the results of one
// after another.
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "src/device/cpu/device.h"
#include "src/device/cpu/wave.h"

namespace moai::cpu {
namespace {

constexpr uint64_t kBytes = 1024;

Buffer arena(uint64_t offset) { return {BufferKind::arena, offset, 0, kBytes}; }
Buffer bound(uint32_t index) { return {BufferKind::bound, 0, index, kBytes}; }

class Chunks final : public Kernel {
 public:
  explicit Chunks(int64_t chunks) : chunks_(chunks) {}
  Status run(std::span<char* const>, RunContext&) override { return ok_status(); }
  int64_t chunks() const override { return chunks_; }

 private:
  int64_t chunks_;
};

// How many launches each wave has. A launch: what it reads, what it writes.
struct Touch {
  std::vector<Buffer> reads, writes;
  int64_t chunks = 2;
};
std::vector<size_t> sizes(const std::vector<Touch>& touches, bool may_join = true) {
  WaveBuilder builder(may_join);
  size_t pointers = 0;
  for (const Touch& t : touches) {
    Launch launch;
    launch.buffers = t.reads;
    launch.buffers.insert(launch.buffers.end(), t.writes.begin(), t.writes.end());
    std::vector<bool> is_written(t.reads.size());
    is_written.resize(launch.buffers.size(), true);
    builder.add(launch, Chunks(t.chunks), is_written);
    pointers += launch.buffers.size();
  }
  std::vector<size_t> out;
  for (const Wave& wave : builder.take()) {
    out.push_back(wave.end - wave.first);
    CHECK(wave.starts.size() == (out.back() == 1 ? 0 : out.back() + 1));
    pointers -= wave.pointers;
  }
  CHECK(pointers == 0);
  return out;
}

using Sizes = std::vector<size_t>;

TEST_CASE("launches join until one touches what another writes") {
  const Touch a{{arena(0)}, {bound(0)}}, b{{arena(0)}, {bound(1)}};
  CHECK(sizes({a, b}) == Sizes{2});
  CHECK(sizes({a, {{bound(0)}, {bound(2)}}}) == Sizes{1, 1});   // reads what a wrote
  CHECK(sizes({a, {{}, {arena(kBytes / 2)}}}) == Sizes{1, 1});  // writes what a reads
  CHECK(sizes({a, {{}, {bound(0)}}}) == Sizes{1, 1});           // writes it again
  CHECK(sizes({a, {{arena(kBytes)}, {arena(2 * kBytes)}}, b}) == Sizes{3});
  CHECK(sizes({a, {{bound(0)}, {bound(2)}}, b}) == Sizes{1, 2});   // a new wave begins
  CHECK(sizes({{{}, {bound(0)}}, {{}, {arena(0)}}}) == Sizes{2});  // offsets of other blocks
}

TEST_CASE("a kernel that is more than chunks runs alone, and so does all on one thread") {
  const Touch a{{}, {bound(0)}}, b{{}, {bound(1)}}, whole{{}, {bound(2)}, 0};
  CHECK(sizes({a, whole, b}) == Sizes{1, 1, 1});
  CHECK(sizes({whole, a, b}) == Sizes{1, 2});
  CHECK(sizes({a, b}, false) == Sizes{1, 1});
}

// out = in * 2 + 1, over n elements.
TileProgram affine(int64_t n) {
  TileProgram p;
  p.space = Shape{n};
  p.buffers = {{DType::f32, false, 0, Shape{1}}, {DType::f32, true, 0, Shape{1}}};
  TileInst load, two, one, fma, store;
  load.op = TileOp::load, load.type = TileType::f32, load.dst = 0;
  two.op = TileOp::constant, two.type = TileType::f32, two.dst = 1, two.imm_f = 2;
  one.op = TileOp::constant, one.type = TileType::f32, one.dst = 2, one.imm_f = 1;
  fma.op = TileOp::compute, fma.prim = Prim::fma, fma.type = TileType::f32, fma.dst = 3, fma.a = 0,
  fma.b = 1, fma.c = 2;
  store.op = TileOp::store, store.type = TileType::f32, store.a = 3, store.imm_i = 1;
  p.code = {load, two, one, fma, store};
  p.registers = 4;
  return p;
}

TEST_CASE("many small updates in place, and what reads them, are what one thread makes of them") {
  // Storage i of 100 * (i + 1) elements is updated three times; each round reads the one before.
  constexpr uint32_t kStorages = 40, kRounds = 3;
  Program program;
  program.bindings = kStorages;
  for (uint32_t i = 0; i < kStorages; i++) {
    program.buffers.push_back({BufferKind::bound, 0, i, 400 * (i + 1)});
    program.kernels.push_back(affine(100 * (i + 1)));
  }
  for (uint32_t round = 0; round < kRounds; round++)
    for (uint32_t i = 0; i < kStorages; i++) program.commands.push_back({i, {i, i}});
  const auto run = [&](int threads) {
    auto device = make_device({threads, uint64_t{1} << 20});
    auto loaded = device->load(program);
    REQUIRE(loaded.ok());
    std::vector<std::vector<float>> blocks;
    std::vector<void*> bindings;
    for (uint32_t i = 0; i < kStorages; i++)
      blocks.emplace_back(100 * (i + 1), static_cast<float>(i));
    for (auto& block : blocks) bindings.push_back(block.data());
    for (int repeat = 0; repeat < 5; repeat++)
      REQUIRE(device->run(**loaded, bindings, nullptr).ok());
    return blocks;
  };
  const auto one = run(1);
  CHECK(one[0][0] == 32767);  // 15 times x * 2 + 1 from 0
  for (int threads : {2, 3, 7}) CHECK(run(threads) == one);
}

}  // namespace
}  // namespace moai::cpu
