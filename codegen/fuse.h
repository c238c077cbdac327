// Which nodes become one kernel. Pure: graph in, groups out.
#pragma once
#include <cstdint>
#include <vector>

#include "moai/tile_program.h"
#include "src/ir/graph.h"

namespace moai::codegen {

// Nodes that run as one kernel, in an order that respects uses. View nodes (slice, transpose,
// reshape, broadcast_in_dim, bitcast of equal size) are folded into their users' index maps and
// appear in no group unless they must be copied. A cheap node may be in several groups: the first
// of them stores it if need be.
struct Group {
  std::vector<uint32_t> nodes;  // indices in graph.nodes(), in graph order
  bool is_tile = true;          // else one node that is a library kernel
  TileKind kind = TileKind::pointwise;
  Shape space;  // pointwise: [elements], row: [rows, row], column: [outer, reduced, inner]
};
// Requires: canonicalized (reduces over neighbouring axes only).
std::vector<Group> fuse(const ir::Graph&);

}  // namespace moai::codegen
