#include "codegen/index_map.h"

#include <cstdlib>

namespace moai::codegen {
namespace {

// Extremes that the index along a dimension takes over the space.
bool stays_inside(const Shape& space, const IndexMap& index, int64_t size) {
  int64_t low = index.offset, high = index.offset;
  for (int s = 0; s < space.rank(); s++) {
    int64_t reach = index.strides[s] * (space[s] - 1);
    (reach < 0 ? low : high) += reach;
  }
  return low >= 0 && high < size;
}

// The dimension whose row-major stride is the largest one that is not above `step`; -1 if none.
int dimension_of(const Shape& shape, const Shape& strides, int64_t step) {
  for (int d = 0; d < shape.rank(); d++)
    if (shape[d] > 1 && strides[d] <= step) return step < strides[d] * shape[d] ? d : -1;
  return -1;
}

IndexMap combine(const Shape& space, const std::array<IndexMap, kRankMax>& index, const Shape& strides,
                 const Shape& from) {
  IndexMap out{0, Shape::filled(space.rank(), 0)};
  for (int d = 0; d < strides.rank(); d++) {
    const IndexMap& i = index[static_cast<size_t>(from[d])];
    out.offset += i.offset * strides[d];
    for (int s = 0; s < space.rank(); s++) out.strides[s] += i.strides[s] * strides[d];
  }
  return out;
}

Shape counting(int rank) {
  Shape s;
  for (int i = 0; i < rank; i++) s.push_back(i);
  return s;
}

}  // namespace

Fit delinearize(const Shape& space, const IndexMap& map, const Shape& shape,
                std::array<IndexMap, kRankMax>& out) {
  Shape strides = contiguous_strides(shape);
  int64_t rest = map.offset;
  for (int d = 0; d < shape.rank(); d++) {
    out[static_cast<size_t>(d)] = {shape[d] > 1 ? rest / strides[d] : 0, Shape::filled(space.rank(), 0)};
    if (shape[d] > 1) rest %= strides[d];
  }
  for (int s = 0; s < space.rank(); s++) {
    int64_t step = map.strides[s], size = std::llabs(step);
    if (step == 0 || space[s] == 1) continue;
    int d = dimension_of(shape, strides, size);
    if (d < 0 || size % strides[d] != 0) return {Fit::no};
    int64_t end = strides[d] * shape[d];
    if (size * (space[s] - 1) >= end) {
      // The dimension runs over into the next outer one of the value.
      if (end % size != 0 || space[s] % (end / size) != 0) return {Fit::no};
      return {Fit::split, s, end / size};
    }
    out[static_cast<size_t>(d)].strides[s] += step / strides[d];
  }
  for (int d = 0; d < shape.rank(); d++)
    if (!stays_inside(space, out[static_cast<size_t>(d)], shape[d])) return {Fit::no};
  return {};
}

bool keeps_order(const ir::Graph& g, const ir::Node& n) {
  if (n.op == Prim::reshape) return true;
  return n.op == Prim::bitcast &&
         size_of(g.type(n.operands[0]).dtype) == size_of(g.type(n.results[0]).dtype);
}

bool is_view(const ir::Graph& g, const ir::Node& n) {
  switch (n.op) {
    case Prim::broadcast_in_dim: case Prim::transpose: case Prim::slice: case Prim::reverse: return true;
    default: return keeps_order(g, n);
  }
}

Fit through_view(const ir::Graph& g, const ir::Node& n, const Shape& space, IndexMap& map) {
  if (keeps_order(g, n)) return {};
  const Shape& result = g.type(n.results[0]).shape;
  const Shape& operand = g.type(n.operands[0]).shape;
  std::array<IndexMap, kRankMax> index;
  if (Fit fit = delinearize(space, map, result, index); fit.kind != Fit::yes) return fit;
  Shape strides = contiguous_strides(operand), from = counting(operand.rank());
  switch (n.op) {
    case Prim::transpose: {
      // dims[i] is the operand axis of result axis i.
      const Shape& dims = std::get<DimsAttrs>(n.attrs).dims;
      for (int i = 0; i < dims.rank(); i++) from[static_cast<int>(dims[i])] = i;
      break;
    }
    case Prim::broadcast_in_dim:
      from = std::get<DimsAttrs>(n.attrs).dims;
      for (int d = 0; d < operand.rank(); d++)
        if (operand[d] == 1) strides[d] = 0;
      break;
    case Prim::slice: {
      const auto& a = std::get<SliceAttrs>(n.attrs);
      for (int d = 0; d < operand.rank(); d++) {
        IndexMap& i = index[static_cast<size_t>(d)];
        i.offset = i.offset * a.step[d] + a.start[d];
        for (int64_t& s : i.strides) s *= a.step[d];
      }
      break;
    }
    case Prim::reverse:
      for (int64_t axis : std::get<DimsAttrs>(n.attrs).dims) {
        IndexMap& i = index[static_cast<size_t>(axis)];
        i.offset = operand[static_cast<int>(axis)] - 1 - i.offset;
        for (int64_t& s : i.strides) s = -s;
      }
      break;
    default: return {Fit::no};
  }
  map = combine(space, index, strides, from);
  return {};
}

uint32_t Region::intern(const IndexMap& wanted) {
  IndexMap map = wanted;
  for (int s = 0; s < space_.rank(); s++)
    if (space_[s] == 1) map.strides[s] = 0;
  for (size_t i = 0; i < maps_.size(); i++)
    if (maps_[i] == map) return static_cast<uint32_t>(i);
  maps_.push_back(map);
  return static_cast<uint32_t>(maps_.size() - 1);
}

uint32_t Region::whole() { return intern({0, contiguous_strides(space_)}); }

uint32_t Region::rows() {
  Shape outer = space_;
  outer[outer.rank() - 1] = 1;
  return intern({0, contiguous_strides(outer)});
}

uint32_t Region::scalar() { return intern({0, Shape::filled(space_.rank(), 0)}); }

bool Region::is_redundant(uint32_t id) const {
  for (int s = 0; s < space_.rank(); s++)
    if (space_[s] > 1 && maps_[id].strides[s] == 0) return true;
  return false;
}

bool Region::split(int dim, int64_t inner, IndexMap& extra) {
  if (dim >= space_.rank() - frozen_ || space_.rank() == kRankMax) return false;
  auto divide = [&](IndexMap& m) {
    int64_t step = m.strides[dim];
    m.strides.insert(dim + 1, step);
    m.strides[dim] = step * inner;
  };
  space_.insert(dim + 1, inner);
  space_[dim] /= inner;
  for (IndexMap& m : maps_) divide(m);
  divide(extra);
  // Dimensions of size 1 have stride 0, and splitting off a factor can make one.
  for (int s = dim; s <= dim + 1; s++) {
    if (space_[s] != 1) continue;
    for (IndexMap& m : maps_) m.strides[s] = 0;
    extra.strides[s] = 0;
  }
  return true;
}

bool Region::fold(const ir::Graph& g, const ir::Node& view, IndexMap& map) {
  for (;;) {
    Fit fit = through_view(g, view, space_, map);
    if (fit.kind == Fit::yes) return true;
    if (fit.kind == Fit::no || !split(fit.dim, fit.inner, map)) return false;
  }
}

bool Region::axis_index(const Shape& shape, int axis, IndexMap& map) {
  std::array<IndexMap, kRankMax> index;
  for (;;) {
    Fit fit = delinearize(space_, map, shape, index);
    if (fit.kind == Fit::yes) break;
    if (fit.kind == Fit::no || !split(fit.dim, fit.inner, map)) return false;
  }
  map = index[static_cast<size_t>(axis)];
  return true;
}

bool Region::can_merge(int dim, const std::vector<uint32_t>* used) const {
  auto fits = [&](const IndexMap& m) {
    return space_[dim] == 1 || space_[dim + 1] == 1 ||
           m.strides[dim] == m.strides[dim + 1] * space_[dim + 1];
  };
  if (!used) {
    for (const IndexMap& m : maps_)
      if (!fits(m)) return false;
    return true;
  }
  for (uint32_t id : *used)
    if (!fits(maps_[id])) return false;
  return true;
}

void Region::merge(int dim) {
  for (IndexMap& m : maps_) {
    if (space_[dim + 1] == 1) m.strides[dim + 1] = m.strides[dim];
    m.strides.erase(dim);
  }
  space_[dim + 1] *= space_[dim];
  space_.erase(dim);
}

bool Region::make_row(int64_t size) {
  if (frozen_ > 0) return frozen_ == 1 && space_.back() == size;
  int64_t inside = 1;
  int first = space_.rank();  // dimensions from here on make up the row
  while (first > 0 && inside * space_[first - 1] <= size) inside *= space_[--first];
  if (inside != size) {
    if (first == 0 || size % inside != 0 || space_[first - 1] % (size / inside) != 0) return false;
    IndexMap none{0, Shape::filled(space_.rank(), 0)};
    if (!split(first - 1, size / inside, none)) return false;
  }
  if (first == space_.rank()) {  // a row of one element
    if (space_.rank() == kRankMax) return false;
    for (IndexMap& m : maps_) m.strides.push_back(0);
    space_.push_back(1);
  }
  // All or nothing: leaves the region usable when a map forbids the row.
  for (int d = first; d + 1 < space_.rank(); d++)
    if (!can_merge(d, nullptr)) return false;
  while (first + 1 < space_.rank()) merge(first);
  frozen_ = 1;
  return true;
}

bool Region::append_row(int64_t size) {
  if (frozen_ > 0 || space_.rank() == kRankMax) return false;
  space_.push_back(size);
  for (IndexMap& m : maps_) m.strides.push_back(0);
  frozen_ = 1;
  return true;
}

void Region::coalesce(const std::vector<uint32_t>& used) {
  if (frozen_ == 3) return;
  for (int d = space_.rank() - 2 - frozen_; d >= 0; d--)
    if (can_merge(d, &used)) merge(d);
  // What is left of size 1 outside a row does not matter.
  for (int d = space_.rank() - 1 - frozen_; d >= 0 && space_.rank() > 1; d--) {
    if (space_[d] != 1) continue;
    for (IndexMap& m : maps_) m.strides.erase(d);
    space_.erase(d);
  }
}

}  // namespace moai::codegen
