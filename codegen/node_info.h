// Facts about nodes that both fusion and emission need.
#pragma once
#include <cstdint>
#include <vector>

#include "codegen/index_map.h"
#include "moai/tile_program.h"
#include "src/ir/graph.h"

namespace moai::codegen {

enum class NodeClass : uint8_t {
  view,       // folds into index maps
  generator,  // constant, iota: made anew wherever it is read
  pointwise,  // one element of the result from one element of each operand; convert and random
              // numbers too
  reduce,
  move,  // writes a part of its result: update_slice, pad, concat
  library,
};
NodeClass class_of(const ir::Graph&, const ir::Node&);

// How a reduce walks its operand: row [rows, row] or column [outer, reduced, inner].
struct ReduceForm {
  TileKind kind = TileKind::row;
  Shape space;
};
ReduceForm reduce_form(const ir::Graph&, const ir::Node&);

// The inner values that an index map of a library operand may have.
enum class Layout : uint8_t { contiguous, strided };
Layout operand_layout(Prim op);

// Elements that a move writes from its operand, as a shape, and where they go in the result.
Shape move_space(const ir::Graph&, const ir::Node&, size_t part);
// Where part `part` of a move goes in its result, from a region over move_space().
uint32_t part_map(const ir::Graph&, const ir::Node&, size_t part, Region&);
// Whether one kernel writes all parts of a concat: they have one shape, and are few or lie between
// each other.
bool is_one_move(const ir::Graph&, const ir::Node& concat);
// Whether the parts of a concat lie one after the other in memory.
bool joins_outermost(const ir::Graph&, const ir::Node& concat);

// Which values exist in memory, and which views are copies. Filled by fuse(), rebuilt by emit()
// from groups.
using Flags = std::vector<bool>;

// Follows reshapes, bitcasts and contiguous views from v down to a value that has its bytes from
// `offset` on; at_start: only as long as the offset is 0.
struct ContiguousBase {
  ir::ValueId value = ir::ValueId::none;
  int64_t offset = 0;  // elements of v's dtype
};
ContiguousBase contiguous_base(const ir::Graph&, const Flags& is_copied, ir::ValueId v,
                               bool at_start);

// The operands of a dot over one space, refined so that views fold: per operand its base and index
// map, and what each dimension of the space is. The space may have more dimensions than a Shape
// holds.
struct DotAccess {
  enum Role : uint8_t { batch, free_a, free_b, contract };
  std::vector<int64_t> sizes;
  std::vector<Role> roles;
  ir::ValueId base[2] = {ir::ValueId::none, ir::ValueId::none};
  int64_t offset[2] = {0, 0};
  std::vector<int64_t> strides[2];
};
DotAccess dot_access(const ir::Graph&, const Flags& is_copied, const ir::Node&);

// An operand with strides of its own per axis: conv and sdpa.
struct StridedBase {
  ir::ValueId value = ir::ValueId::none;
  IndexMap map;  // over the operand's shape
};
StridedBase strided_base(const ir::Graph&, const Flags& is_copied, ir::ValueId v);

// Whether index maps go through v: a view, no bitcast, that is not in memory.
bool folds(const ir::Graph&, const Flags& is_copied, ir::ValueId v);
// Follows views from v through `region`, changing `map`, to the value that a copy of v reads.
ir::ValueId strided_part(const ir::Graph&, const Flags& is_copied, ir::ValueId v, Region& region,
                         IndexMap& map);
// pad: from its move_space to the elements of the operand.
IndexMap padded_map(const ir::Graph&, const ir::Node& pad);

}  // namespace moai::codegen
