// A kernel of the CPU device: prepared at load, run on buffers. And what a run has at hand.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "moai/device.h"
#include "src/device/cpu/bf16_ops.h"
#include "src/device/cpu/cpu_info.h"
#include "src/device/cpu/thread_pool.h"
#include "src/device/cpu/tile_step.h"
#include "src/device/cpu/vector_ops.h"

namespace moai::cpu {

// An index outside its bounds: the first one a kernel saw.
struct IndexError {
  std::atomic<bool> is_set{false};
  int64_t index = 0, size = 0;
  void set(int64_t bad, int64_t limit) {
    bool expected = false;
    if (is_set.compare_exchange_strong(expected, true)) index = bad, size = limit;
  }
};

struct RunContext {
  ThreadPool& pool;
  char* const* scratch;  // by thread: thread_scratch_bytes() of the kernel
  char* shared;          // shared_scratch_bytes() of the kernel
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // buffers: one pointer for each buffer of the program or operand of the library kernel.
  virtual Status run(std::span<char* const> buffers, RunContext& context) = 0;
  // A kernel that is nothing but chunks which do not wait for each other says how many: run_chunk()
  // of each, in any order and at once, is then what run() does. 0: run() only.
  virtual int64_t chunks() const { return 0; }
  virtual void run_chunk(int64_t chunk, char* const* buffers, char* scratch) const {
    (void)chunk, (void)buffers, (void)scratch;
  }
  uint64_t thread_scratch_bytes() const { return thread_scratch_; }
  uint64_t shared_scratch_bytes() const { return shared_scratch_; }

 protected:
  uint64_t thread_scratch_ = 0, shared_scratch_ = 0;
};

// What kernels are made for.
struct Target {
  const TileOps* tiles = nullptr;
  const VectorOps* vectors = nullptr;
  const Bf16Ops* bf16 = nullptr;  // null: bf16 is widened
  Tier tier = Tier::base;
};

// overlaps(i, j): whether buffers i and j of the command may share bytes.
using Overlaps = std::function<bool(int, int)>;
StatusOr<std::unique_ptr<Kernel>> make_tile_kernel(const TileProgram&, const Target&,
                                                   const Overlaps&);
StatusOr<std::unique_ptr<Kernel>> make_library_kernel(const LibraryKernel&, const Target&);

}  // namespace moai::cpu
