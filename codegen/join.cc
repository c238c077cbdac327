#include "codegen/join.h"

namespace moai::codegen {
namespace {

using ir::Node;
using ir::ValueId;

// The transposed join, where all parts are transposes of one kind.
ValueId join_transposes(Rewriter& r, const std::vector<ValueId>& parts, int axis) {
  std::vector<ValueId> below;
  const Node* first = r.def(parts[0]);
  for (ValueId v : parts) {
    const Node* n = r.def(v);
    if (!n || n->op != Prim::transpose || n->attrs != first->attrs) return ValueId::none;
    below.push_back(n->operands[0]);
  }
  Shape dims = std::get<DimsAttrs>(first->attrs).dims;
  return r.transpose(join(r, below, static_cast<int>(dims[axis])), dims);
}

ValueId join_slices(Rewriter& r, const std::vector<ValueId>& parts, int axis) {
  const Node* first = r.def(parts[0]);
  if (!first || first->op != Prim::slice) return ValueId::none;
  SliceAttrs whole = std::get<SliceAttrs>(first->attrs);
  ValueId base = first->operands[0];
  for (int64_t s : whole.step)
    if (s != 1) return ValueId::none;
  SliceAttrs next = whole;
  for (ValueId v : parts) {
    const Node* n = r.def(v);
    if (!n || n->op != Prim::slice || n->operands[0] != base ||
        std::get<SliceAttrs>(n->attrs) != next)
      return ValueId::none;
    next.start[axis] += r.shape(v)[axis];
  }
  ir::Type type = r.type(parts[0]);
  type.shape[axis] = next.start[axis] - whole.start[axis];
  return type == r.type(base) ? base : r.add(Prim::slice, whole, {base}, {type});
}

}  // namespace

ValueId join(Rewriter& r, const std::vector<ValueId>& parts, int axis) {
  if (ValueId v = join_transposes(r, parts, axis); v != ValueId::none) return v;
  if (ValueId v = join_slices(r, parts, axis); v != ValueId::none) return v;
  ir::Type type = r.type(parts[0]);
  type.shape[axis] = 0;
  for (ValueId v : parts) type.shape[axis] += r.shape(v)[axis];
  return r.add(Prim::concat, AxisAttrs{axis}, parts, {type});
}

}  // namespace moai::codegen
