// Nodes that a device has a kernel of its own for.
#pragma once
#include "codegen/emit.h"
#include "codegen/node_info.h"

namespace moai::codegen {

// Whether the node adds to or writes into zeros, which its kernel makes itself.
bool has_zero_base(const ir::Graph&, const ir::Node&);

StatusOr<Kernel> library_kernel(const ir::Graph&, const Flags& is_copied, const ir::Node&);

}  // namespace moai::codegen
