// A steady loop: running a loaded program allocates nothing, blocks come back from the cache, the
// pool gives every chunk once.
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "moai/limits.h"
#include "src/device/cpu/device.h"
#include "src/device/cpu/memory.h"
#include "src/device/cpu/thread_pool.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// A thread sanitizer's runtime defines these itself: there the counts stay 0.
#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
#if !__has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
void* operator new(size_t bytes) {
  allocations++;
  if (void* p = std::malloc(bytes)) return p;
  std::abort();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  allocations++;
  return std::malloc(bytes);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif

namespace moai::cpu {
namespace {

Operand operand(DType t, const Shape& s, bool is_output) {
  return {t, s, contiguous_strides(s), 0, is_output};
}

// A step of a small network: products, a convolution, softmax, attention, scatter.
Program make_program() {
  Program p;
  const auto buffer = [&](uint64_t bytes) {
    p.buffers.push_back({BufferKind::arena, p.arena_bytes, 0, bytes});
    p.arena_bytes += (bytes + 255) / 256 * 256;
    return static_cast<uint32_t>(p.buffers.size() - 1);
  };
  const auto add = [&](const LibraryKernel& k) {
    Command c{static_cast<uint32_t>(p.kernels.size()), {}};
    for (const Operand& x : k.operands)
      c.buffers.push_back(buffer(static_cast<uint64_t>(x.sizes.numel()) * size_of(x.dtype)));
    p.kernels.push_back(k);
    p.commands.push_back(c);
  };
  const DType f = DType::f32;
  add({Prim::dot_general,
       DotAttrs{{}, {}, {1}, {1}},
       {operand(f, {64, 100}, false), operand(f, {200, 100}, false), operand(f, {64, 200}, true)}});
  add({Prim::dot_general,
       DotAttrs{{0}, {0}, {2}, {1}},
       {operand(f, {6, 20, 30}, false), operand(f, {6, 30, 10}, false),
        operand(f, {6, 20, 10}, true)}});
  add({Prim::conv,
       ConvAttrs{{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false},
       {operand(f, {2, 3, 12, 12}, false), operand(f, {8, 3, 3, 3}, false),
        operand(f, {2, 8, 12, 12}, true)}});
  add({Prim::conv_wgrad,
       ConvAttrs{{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false},
       {operand(f, {2, 3, 12, 12}, false), operand(f, {2, 8, 12, 12}, false),
        operand(f, {8, 3, 3, 3}, true)}});
  add({Prim::sdpa,
       SdpaAttrs{0.5, 0, true, false},
       {operand(f, {1, 2, 40, 8}, false), operand(f, {1, 2, 40, 8}, false),
        operand(f, {1, 2, 40, 8}, false), operand(f, {1, 2, 40, 8}, true),
        operand(f, {1, 2, 40}, true)}});
  add({Prim::sort,
       SortAttrs{1, 0, false},
       {operand(f, {4, 100}, false), operand(f, {4, 100}, true),
        operand(DType::i64, {4, 100}, true)}});
  add({Prim::scatter,
       IndexAttrs{0, ScatterKind::add},
       {operand(DType::i64, {50}, false), operand(f, {50, 9}, false), operand(f, {30, 9}, true)}});
  TileProgram t;
  t.kind = TileKind::row, t.space = {300, 70}, t.registers = 3;
  t.buffers = {{f, false, 0, {70, 1}}, {f, true, 0, {70, 1}}};
  TileInst load, sum, sub, store;
  load.op = TileOp::load, load.dst = 0;
  sum.op = TileOp::reduce, sum.dst = 1, sum.a = 0;
  sub.op = TileOp::compute, sub.prim = Prim::sub, sub.dst = 2, sub.a = 0, sub.b = 1;
  store.op = TileOp::store, store.a = 2, store.imm_i = 1;
  t.code = {load, sum, sub, store};
  p.kernels.push_back(t);
  p.commands.push_back(
      {static_cast<uint32_t>(p.kernels.size() - 1), {buffer(84000), buffer(84000)}});
  return p;
}

TEST_CASE("a loaded program runs without allocating") {
  for (int threads : {1, 3}) {
    auto device = make_device({threads, 0});
    const Program program = make_program();
    auto executable = device->load(program);
    REQUIRE(executable.ok());
    void* arena = device->allocate(program.arena_bytes);
    REQUIRE(arena != nullptr);
    std::memset(arena, 0, program.arena_bytes);
    REQUIRE(device->run(**executable, {}, arena).ok());
    const int64_t before = allocations;
    bool ok = true;
    for (int i = 0; i < 20; i++) ok &= device->run(**executable, {}, arena).ok();
    const int64_t during = allocations - before;
    CHECK(ok);
    CHECK(during == 0);
    device->free(arena, program.arena_bytes);
  }
}

TEST_CASE("load refuses what it cannot run") {
  auto device = make_device({1, 0});
  Program p;
  p.kernels.push_back(LibraryKernel{
      Prim::lgamma, NoAttrs(), {operand(DType::f32, {1}, false), operand(DType::f32, {1}, true)}});
  p.commands.push_back({0, {0, 0}});
  p.buffers.push_back({BufferKind::arena, 0, 0, 4});
  auto refused = device->load(p);
  CHECK(refused.status().code() == StatusCode::unimplemented);
  CHECK(refused.status().message().find("lgamma") != std::string::npos);
  p.commands[0].buffers = {0, 7};
  CHECK(device->load(p).status().code() == StatusCode::invalid_argument);
  p.commands[0] = {3, {}};
  CHECK(device->load(p).status().code() == StatusCode::invalid_argument);
}

TEST_CASE("blocks of one size come back, the limit holds") {
  BlockCache cache(1 << 20);
  void* a = cache.allocate(100000);
  REQUIRE(a != nullptr);
  CHECK(reinterpret_cast<uintptr_t>(a) % kBlockAlignBytes == 0);
  cache.free(a, 100000);
  CHECK(cache.allocate(99000) == a);
  CHECK(cache.allocate(1 << 20) == nullptr);
  cache.free(a, 99000);
  void* all = cache.allocate(1 << 20);  // what is cached makes room
  CHECK(all != nullptr);
  cache.free(all, 1 << 20);
}

TEST_CASE("a pool goes on with the threads that the system starts") {
  pthread_attr_t usual, vast;
  REQUIRE(pthread_getattr_default_np(&usual) == 0);
  REQUIRE(pthread_attr_init(&vast) == 0);
  // Two such stacks are more than there are addresses.
  REQUIRE(pthread_attr_setstacksize(&vast, size_t{1} << 46) == 0);
  REQUIRE(pthread_setattr_default_np(&vast) == 0);
  std::unique_ptr<ThreadPool> pool;
  CHECK_NOTHROW(pool = std::make_unique<ThreadPool>(8));
  REQUIRE(pthread_setattr_default_np(&usual) == 0);
  REQUIRE(pool != nullptr);
  CHECK(pool->size() < 4);
  std::atomic<int> chunks{0};
  pool->run(100, [&](int64_t, int thread) { chunks += thread < pool->size() ? 1 : 1000; });
  CHECK(chunks == 100);
}

TEST_CASE("a pool runs every chunk once") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; round++) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(round));
      std::atomic<bool> is_thread{true};
      pool.run(round, [&](int64_t chunk, int thread) {
        seen[static_cast<size_t>(chunk)]++;
        if (thread < 0 || thread >= threads) is_thread = false;
      });
      bool once = true;
      for (auto& n : seen) once &= n == 1;
      REQUIRE(once);
      REQUIRE(is_thread);
    }
  }
}

}  // namespace
}  // namespace moai::cpu
