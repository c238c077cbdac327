#include "codegen/node_info.h"

#include <algorithm>

namespace moai::codegen {

NodeClass class_of(const ir::Graph& g, const ir::Node& n) {
  if (is_pointwise(n.op)) return NodeClass::pointwise;
  switch (n.op) {
    case Prim::convert:
    case Prim::rng_uniform:
    case Prim::rng_bits: return NodeClass::pointwise;
    case Prim::constant:
    case Prim::iota: return NodeClass::generator;
    case Prim::reduce: return NodeClass::reduce;
    case Prim::update_slice:
    case Prim::pad:
    case Prim::concat: return NodeClass::move;
    // A bitcast to another element size still keeps the bytes, but its elements cannot be indexed
    // by the operand's: contiguous_base() sees through it, index maps do not.
    case Prim::bitcast: return NodeClass::view;
    default: return is_view(g, n) ? NodeClass::view : NodeClass::library;
  }
}

ReduceForm reduce_form(const ir::Graph& g, const ir::Node& n) {
  const Shape& s = g.type(n.operands[0]).shape;
  const Shape& axes = std::get<ReduceAttrs>(n.attrs).axes;
  int64_t outer = 1, reduced = 1, inner = 1;
  bool seen = false;
  for (int d = 0; d < s.rank(); d++) {
    if (s[d] == 1) continue;
    bool is_reduced = std::find(axes.begin(), axes.end(), d) != axes.end();
    if (is_reduced) {
      reduced *= s[d];
      seen = true;
    } else {
      (seen ? inner : outer) *= s[d];
    }
  }
  if (inner == 1) return {TileKind::row, Shape{outer, reduced}};
  return {TileKind::column, Shape{outer, reduced, inner}};
}

Layout operand_layout(Prim op) {
  switch (op) {
    case Prim::conv:
    case Prim::conv_wgrad:
    case Prim::sdpa:
    case Prim::sdpa_bwd: return Layout::strided;
    default: return Layout::contiguous;
  }
}

Shape move_space(const ir::Graph& g, const ir::Node& n, size_t part) {
  if (n.op == Prim::update_slice) return g.type(n.operands[1]).shape;
  const Shape& s = g.type(n.operands[part]).shape;
  if (n.op == Prim::concat) return s;
  // pad: the elements that negative edges leave.
  const auto& a = std::get<PadAttrs>(n.attrs);
  Shape kept = s;
  for (int d = 0; d < s.rank(); d++) {
    int64_t step = a.interior[d] + 1;
    int64_t first = a.lo[d] < 0 ? (-a.lo[d] + step - 1) / step : 0;
    int64_t size = g.type(n.results[0]).shape[d];
    int64_t last = std::min(s[d] - 1, (size - 1 - a.lo[d]) / step);
    if (size - 1 - a.lo[d] < 0) last = -1;
    kept[d] = std::max<int64_t>(0, last - first + 1);
  }
  return kept;
}

uint32_t part_map(const ir::Graph& g, const ir::Node& n, size_t part, Region& region) {
  Shape space = move_space(g, n, part);
  Shape start = Shape::filled(space.rank(), 0), step = Shape::filled(space.rank(), 1);
  if (n.op == Prim::update_slice) {
    start = std::get<SliceAttrs>(n.attrs).start;
    step = std::get<SliceAttrs>(n.attrs).step;
  } else if (n.op == Prim::concat) {
    int axis = static_cast<int>(std::get<AxisAttrs>(n.attrs).axis);
    for (size_t i = 0; i < part; i++) start[axis] += g.type(n.operands[i]).shape[axis];
  } else {
    const auto& a = std::get<PadAttrs>(n.attrs);
    for (int d = 0; d < space.rank(); d++) {
      step[d] = a.interior[d] + 1;
      int64_t first = a.lo[d] < 0 ? (-a.lo[d] + step[d] - 1) / step[d] : 0;
      start[d] = a.lo[d] + first * step[d];
    }
  }
  return region.placed(space, g.type(n.results[0]).shape, start, step);
}

bool joins_outermost(const ir::Graph& g, const ir::Node& n) {
  int64_t axis = std::get<AxisAttrs>(n.attrs).axis;
  for (int64_t d = 0; d < axis; d++)
    if (g.type(n.results[0]).shape[static_cast<int>(d)] != 1) return false;
  return true;
}

bool is_one_move(const ir::Graph& g, const ir::Node& n) {
  constexpr size_t kFewParts = 4;  // more kernels' worth of overhead than making them apart costs
  size_t most = joins_outermost(g, n) ? kFewParts : static_cast<size_t>(kTileBuffersMax) / 2;
  if (n.operands.size() > most) return false;
  for (ir::ValueId v : n.operands)
    if (g.type(v).shape != g.type(n.operands[0]).shape) return false;
  return true;
}

namespace {

// Whether a map walks all elements of the space in order, one after the other.
bool is_contiguous(const Shape& space, const IndexMap& map) {
  int64_t step = 1;
  for (int s = space.rank() - 1; s >= 0; s--) {
    if (space[s] == 1) continue;
    if (map.strides[s] != step) return false;
    step *= space[s];
  }
  return true;
}

}  // namespace

ContiguousBase contiguous_base(const ir::Graph& g, const Flags& is_copied, ir::ValueId v,
                               bool at_start) {
  ContiguousBase found{v, 0};
  if (g.type(v).shape.numel() == 0) return found;
  int64_t element = static_cast<int64_t>(size_of(g.type(v).dtype));
  Fine fine(Shape{g.type(v).shape.numel()});
  IndexMap map{0, Shape{1}};
  for (;;) {
    const ir::Node* n = g.def(v);
    if (!n || is_copied[index_of(v)] || class_of(g, *n) != NodeClass::view) return found;
    int64_t size = static_cast<int64_t>(size_of(g.type(v).dtype));
    if (n->op == Prim::bitcast && !keeps_order(g, *n)) {
      // Bytes stay: start anew below it at the byte where this one starts.
      if (!is_contiguous(fine.space(), map)) return found;
      int64_t below = static_cast<int64_t>(size_of(g.type(n->operands[0]).dtype));
      int64_t bytes = fine.space().numel() * size, before = map.offset * size;
      if (bytes % below != 0 || before % below != 0) return found;
      fine = Fine(Shape{bytes / below});
      map = {before / below, Shape{1}};
      size = below;
    } else if (!fine.fold(g, *n, map)) {
      return found;
    }
    v = n->operands[0];
    if (!is_contiguous(fine.space(), map)) return found;
    if (at_start && map.offset != 0) return found;
    if (map.offset * size % element == 0) found = {v, map.offset * size / element};
  }
}

StridedBase strided_base(const ir::Graph& g, const Flags& is_copied, ir::ValueId v) {
  const Shape& shape = g.type(v).shape;
  StridedBase found{v, {0, contiguous_strides(shape)}};
  if (shape.numel() == 0) return found;
  IndexMap map = found.map;
  for (;;) {
    const ir::Node* n = g.def(v);
    if (!n || is_copied[index_of(v)] || class_of(g, *n) != NodeClass::view) return found;
    if (n->op == Prim::bitcast && !keeps_order(g, *n)) {
      if (found.value == v) found.value = contiguous_base(g, is_copied, v, true).value;
      return found;
    }
    // Axes of the operand may not be split, so only a plain fit will do.
    if (through_view(g, *n, shape, map).kind != Fit::yes) return found;
    v = n->operands[0];
    // A bitcast to another element size is no value in memory, and no kernel copies one.
    const ir::Node* below = g.def(v);
    if (below && below->op == Prim::bitcast && !keeps_order(g, *below)) return found;
    if (std::all_of(map.strides.begin(), map.strides.end(), [](int64_t s) { return s >= 0; }))
      found = {v, map};
  }
}

bool folds(const ir::Graph& g, const Flags& is_copied, ir::ValueId v) {
  const ir::Node* n = g.def(v);
  return n && !is_copied[index_of(v)] && n->op != Prim::bitcast &&
         class_of(g, *n) == NodeClass::view;
}

ir::ValueId strided_part(const ir::Graph& g, const Flags& is_copied, ir::ValueId v, Region& region,
                         IndexMap& map) {
  return region.follow(g, v, map, [&](ir::ValueId x) { return folds(g, is_copied, x); });
}

IndexMap padded_map(const ir::Graph& g, const ir::Node& n) {
  const auto& a = std::get<PadAttrs>(n.attrs);
  IndexMap map{0, contiguous_strides(g.type(n.operands[0]).shape)};
  for (int d = 0; d < map.strides.rank(); d++) {
    int64_t step = a.interior[d] + 1;
    if (a.lo[d] < 0) map.offset += (-a.lo[d] + step - 1) / step * map.strides[d];
  }
  return map;
}

}  // namespace moai::codegen
