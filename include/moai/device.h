// What a device is: memory, kernels, programs. A device sees buffers, never the graph.
//
// Thread rule: one session thread calls a Device; its own pool runs kernels. After load() a submit
// allocates nothing, compiles nothing and does not fail for lack of memory.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "moai/op_attrs.h"
#include "moai/status.h"
#include "moai/tile_program.h"

namespace moai {

// An operand of a library kernel: a strided box in a buffer, in elements of dtype.
struct Operand {
  DType dtype = DType::f32;
  Shape sizes, strides;
  int64_t offset = 0;
  bool is_output = false;
  bool operator==(const Operand&) const = default;
};

// A primitive that is no tile program: the device has a kernel of its own for it. Outputs are
// contiguous and stand after the inputs. Inputs of dot_general, conv and sdpa may have any strides;
// others are contiguous. update_slice, scatter and scatter_along write into the output, which
// already holds the base (operand 0 is the same buffer or was copied there by an earlier command):
// they take [index, update, output].
struct LibraryKernel {
  Prim op = Prim::dot_general;
  Attrs attrs;
  std::vector<Operand> operands;
  bool base_is_zero =
      false;  // scatter, scatter_along: the output holds nothing yet, its base is zeros
  bool operator==(const LibraryKernel&) const = default;
};

using KernelSource = std::variant<TileProgram, LibraryKernel>;

// Where the bytes of a buffer are when a program runs.
enum class BufferKind : uint8_t {
  arena,  // transient: at `offset` of the arena
  bound,  // bindings[index]: a storage's block, or a parameter block
};
struct Buffer {
  BufferKind kind = BufferKind::arena;
  uint64_t offset = 0;  // bytes in the arena, or into the bound block; multiple of the element size
  uint32_t index = 0;   // bound
  uint64_t bytes = 0;
  bool operator==(const Buffer&) const = default;
};

struct Command {
  uint32_t kernel = 0;            // in Program::kernels
  std::vector<uint32_t> buffers;  // in Program::buffers, one per buffer or operand of the kernel
  uint32_t source = UINT32_MAX;   // op of the segment that it belongs to, for messages
  bool operator==(const Command&) const = default;
};

// A per-device program: commands in order. What it may read and write is declared by its kernels.
struct Program {
  std::vector<KernelSource> kernels;
  std::vector<Buffer> buffers;
  std::vector<Command> commands;
  uint64_t arena_bytes = 0;
  uint64_t scratch_bytes = 0;  // largest scratch of a library kernel, filled in by Device::load
  uint32_t bindings = 0;
  bool operator==(const Program&) const = default;
};

// A loaded program, owned by the device's caller.
class Executable {
 public:
  virtual ~Executable() = default;
  // Where a caller wants to know: one entry a command of the program, and run() notes when each
  // ended, in nanoseconds of src/base/clock.h. Empty otherwise.
  std::vector<uint64_t> ended_ns;
  // After a run() that failed: the command that did.
  size_t failed_command = 0;
};

struct DeviceInfo {
  std::string kind;  // "cpu"
  std::string name;  // "AVX-512, 2 threads"
  uint64_t memory_bytes = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  // Memory for blocks and the arena. nullptr when exhausted. Aligned to kBlockAlignBytes.
  virtual void* allocate(uint64_t bytes) = 0;
  virtual void free(void* block, uint64_t bytes) = 0;
  // Prepares every kernel. Returns unimplemented with the kernel's name when it has none.
  virtual StatusOr<std::unique_ptr<Executable>> load(const Program& program) = 0;
  // Runs it to the end. bindings: one pointer a bound buffer index. Returns out_of_range when an
  // index was outside its bounds; message names the primitive.
  virtual Status run(Executable& executable, std::span<void* const> bindings, void* arena) = 0;
  // Bytes between host and device memory.
  virtual void copy_in(void* block, const void* host, uint64_t bytes) = 0;
  virtual void copy_out(void* host, const void* block, uint64_t bytes) = 0;
};

}  // namespace moai
