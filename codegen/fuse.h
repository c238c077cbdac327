// Which nodes become one kernel. Pure: graph in, groups out.
#pragma once
#include <cstdint>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

// Passes before fusion: dead code, common subexpressions, constant folding, fma. Same meaning, and the same
// bits in every tier.
ir::Graph canonicalize(const ir::Graph&);

// Nodes that run as one kernel, in an order that respects uses. View nodes (slice, transpose, reshape,
// broadcast_in_dim, bitcast of equal size) are folded into their users' index maps and appear in no group
// unless they must be copied.
struct Group {
  std::vector<uint32_t> nodes;  // indices in graph.nodes(), in graph order
};
std::vector<Group> fuse(const ir::Graph&);

}  // namespace moai::codegen
