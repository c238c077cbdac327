// Rules on nodes that move elements: chains of one kind become one, and those that change nothing
// go.
#include <algorithm>

#include "codegen/rewriter.h"

namespace moai::codegen {
namespace {

using ir::ValueId;

// A constant stays one under every view.
ValueId view_of_constant(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  const ConstantAttrs* c = r.as_constant(n.operands[0]);
  return c ? r.constant(ConstantAttrs(*c), result) : ValueId::none;
}

ValueId simplify_transpose(Rewriter& r, const ir::Node& n, const ir::Type&) {
  Shape dims = std::get<DimsAttrs>(n.attrs).dims;
  ValueId v = n.operands[0];
  if (const ir::Node* below = r.def(v); below && below->op == Prim::transpose) {
    const Shape& first = std::get<DimsAttrs>(below->attrs).dims;
    for (int64_t& d : dims) d = first[static_cast<int>(d)];
    v = below->operands[0];
  }
  return r.transpose(v, dims);
}

ValueId simplify_broadcast(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  Shape dims = std::get<DimsAttrs>(n.attrs).dims;
  ValueId v = n.operands[0];
  if (const ir::Node* below = r.def(v); below && below->op == Prim::broadcast_in_dim) {
    Shape first = std::get<DimsAttrs>(below->attrs).dims;
    for (int64_t& d : first) d = dims[static_cast<int>(d)];
    dims = first;
    v = below->operands[0];
  }
  // New axes of size 1 only: no element is repeated.
  if (r.shape(v).numel() == result.shape.numel() && std::is_sorted(dims.begin(), dims.end()))
    return r.reshape(v, result.shape);
  return r.broadcast(v, result.shape, dims);
}

// The first element of a slice that is one piece of its operand's memory, or -1.
int64_t start_of_piece(const SliceAttrs& a, const Shape& from, const Shape& to) {
  int first = 0;
  while (first < from.rank() && from[first] == to[first]) first++;
  for (int d = 0; d < from.rank(); d++)
    if (a.step[d] != 1 || (d < first && from[d] != 1) || (d > first && from[d] != to[d])) return -1;
  return first == from.rank() ? 0 : a.start[first] * contiguous_strides(from)[first];
}

// A slice along a concat's axis that is one of its parts.
ValueId part_of_concat(Rewriter& r, const SliceAttrs& a, const ir::Node& concat,
                       const ir::Type& result) {
  const int axis = static_cast<int>(std::get<AxisAttrs>(concat.attrs).axis);
  const int rank = a.start.rank();
  if (a.step != Shape::filled(rank, 1)) return ValueId::none;
  Shape start = Shape::filled(rank, 0);
  for (ValueId part : concat.operands) {
    if (a.start == start && r.shape(part) == result.shape) return part;
    start[axis] += r.shape(part)[axis];
  }
  return ValueId::none;
}

// A slice of a concat, or of a reshaped one, that is one of its parts.
ValueId slice_of_concat(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  ValueId v = n.operands[0];
  const auto& a = std::get<SliceAttrs>(n.attrs);
  if (const ir::Node* below = r.def(v); below && below->op == Prim::concat)
    return part_of_concat(r, a, *below, result);
  int64_t start = start_of_piece(a, r.shape(v), result.shape);
  while (r.def(v) && r.def(v)->op == Prim::reshape) v = r.def(v)->operands[0];
  const ir::Node* below = r.def(v);
  if (start < 0 || !below || below->op != Prim::concat) return ValueId::none;
  for (int64_t d = 0; d < std::get<AxisAttrs>(below->attrs).axis; d++)
    if (r.shape(v)[static_cast<int>(d)] != 1) return ValueId::none;
  int64_t at = 0;
  for (ValueId part : below->operands) {
    if (at == start && r.shape(part).numel() == result.shape.numel())
      return r.reshape(part, result.shape);
    at += r.shape(part).numel();
  }
  return ValueId::none;
}

// A slice of repeated elements repeats a slice.
ValueId slice_of_broadcast(Rewriter& r, const ir::Node& below, const SliceAttrs& a,
                           const ir::Type& result) {
  const Shape dims = std::get<DimsAttrs>(below.attrs).dims;  // nodes move when one is added
  ValueId v = below.operands[0];
  SliceAttrs inner{Shape::filled(dims.rank(), 0), Shape::filled(dims.rank(), 1)};
  ir::Type type = r.type(v);
  for (int d = 0; d < dims.rank(); d++) {
    if (type.shape[d] == 1) continue;
    int to = static_cast<int>(dims[d]);
    inner.start[d] = a.start[to], inner.step[d] = a.step[to], type.shape[d] = result.shape[to];
  }
  if (type.shape != r.shape(v)) v = r.add(Prim::slice, inner, {v}, {type});
  return r.broadcast(v, result.shape, dims);
}

ValueId simplify_slice(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  if (r.shape(n.operands[0]) == result.shape) return n.operands[0];
  if (ValueId part = slice_of_concat(r, n, result); part != ValueId::none) return part;
  const ir::Node* below = r.def(n.operands[0]);
  if (below && below->op == Prim::broadcast_in_dim)
    return slice_of_broadcast(r, *below, std::get<SliceAttrs>(n.attrs), result);
  if (!below || below->op != Prim::slice) return ValueId::none;
  SliceAttrs a = std::get<SliceAttrs>(n.attrs);
  const auto& first = std::get<SliceAttrs>(below->attrs);
  for (int d = 0; d < a.start.rank(); d++) {
    a.start[d] = first.start[d] + a.start[d] * first.step[d];
    a.step[d] *= first.step[d];
  }
  return r.add(Prim::slice, a, {below->operands[0]}, {result});
}

ValueId simplify_concat(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  std::vector<ValueId> parts;
  for (ValueId v : n.operands)
    if (r.shape(v).numel() > 0) parts.push_back(v);
  if (parts.size() == 1 && r.shape(parts[0]) == result.shape) return parts[0];
  if (parts.empty() || parts.size() == n.operands.size()) return ValueId::none;
  return r.add(Prim::concat, n.attrs, parts, {result});
}

ValueId simplify_pad(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  const auto& a = std::get<PadAttrs>(n.attrs);
  auto is_zero = [](const Shape& s) {
    return std::all_of(s.begin(), s.end(), [](int64_t d) { return d == 0; });
  };
  if (is_zero(a.lo) && is_zero(a.hi) && is_zero(a.interior)) return n.operands[0];
  // Crops only: a slice.
  auto is_crop = [](const Shape& s) {
    return std::all_of(s.begin(), s.end(), [](int64_t d) { return d <= 0; });
  };
  if (!is_crop(a.lo) || !is_crop(a.hi) || !is_zero(a.interior)) return ValueId::none;
  SliceAttrs crop{a.lo, Shape::filled(a.lo.rank(), 1)};
  for (int64_t& d : crop.start) d = -d;
  return r.add(Prim::slice, crop, {n.operands[0]}, {result});
}

}  // namespace

ValueId simplify_shape(Rewriter& r, const ir::Node& n, const ir::Type& result) {
  switch (n.op) {
    case Prim::reshape: return r.reshape(n.operands[0], result.shape);
    case Prim::broadcast_in_dim:
    case Prim::transpose:
    case Prim::slice:
    case Prim::reverse:
      if (ValueId v = view_of_constant(r, n, result); v != ValueId::none) return v;
      break;
    default: break;
  }
  switch (n.op) {
    case Prim::transpose: return simplify_transpose(r, n, result);
    case Prim::broadcast_in_dim: return simplify_broadcast(r, n, result);
    case Prim::slice: return simplify_slice(r, n, result);
    case Prim::bitcast:
      return r.dtype(n.operands[0]) == result.dtype ? n.operands[0] : ValueId::none;
    case Prim::concat: return simplify_concat(r, n, result);
    case Prim::pad: return simplify_pad(r, n, result);
    case Prim::update_slice:
      // All of it, or nothing.
      if (r.shape(n.operands[1]) == result.shape) return n.operands[1];
      return r.shape(n.operands[1]).numel() == 0 ? n.operands[0] : ValueId::none;
    default: return ValueId::none;
  }
}

}  // namespace moai::codegen
