// Groups -> kernels with operands. Pure.
#pragma once
#include <cstdint>
#include <vector>

#include "codegen/fuse.h"
#include "moai/device.h"
#include "src/ir/graph.h"

namespace moai::codegen {

// A kernel and the graph values its buffers are. Inputs are values that some earlier kernel or the
// graph's inputs materialize (bases of views), never views themselves; every materialized value is
// row-major.
struct Kernel {
  KernelSource source;
  // One per buffer or operand, outputs included; then bases that only an alias names: the kernel
  // does not read them itself, their bytes have to be there.
  std::vector<ir::ValueId> buffers;
  std::vector<bool> writes;  // per buffer
  // An output that updates an operand in place where the memory plan can share their bytes:
  // (output, input) positions in `buffers`, equal index maps. must_alias: the kernel writes only
  // part of the output, so the base has to be there (update_slice, scatter): the plan shares or
  // copies it first.
  struct Alias {
    uint32_t output, input;
    bool must;
  };
  std::vector<Alias> aliases;
  uint32_t op = UINT32_MAX;  // of the segment: what its last node came from
};
// A value that lies in another one, from byte `at` on: what makes it writes there, so that a concat
// of it has nothing to copy.
struct Part {
  ir::ValueId value, whole;
  uint64_t at;
};
struct Kernels {
  // In execution order. A value may be written by several kernels in a row (pad, concat), or by
  // those of its parts.
  std::vector<Kernel> kernels;
  std::vector<Part> parts;
};
StatusOr<Kernels> emit(const ir::Graph&, const std::vector<Group>&);

// v as it is materialized: itself, or the value that its chain of free views (reshape) looks at.
ir::ValueId base_of(const ir::Graph& graph, ir::ValueId v);

}  // namespace moai::codegen
