#include "codegen/index_map.h"

#include <algorithm>
#include <cassert>
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

IndexMap combine(const Shape& space, const std::array<IndexMap, kRankMax>& index,
                 const Shape& strides, const Shape& from) {
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
    out[static_cast<size_t>(d)] = {shape[d] > 1 ? rest / strides[d] : 0,
                                   Shape::filled(space.rank(), 0)};
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
    case Prim::broadcast_in_dim:
    case Prim::transpose:
    case Prim::slice:
    case Prim::reverse: return true;
    default: return keeps_order(g, n);
  }
}

Fit through_view(const ir::Graph& g, const ir::Node& n, const Shape& space, IndexMap& map) {
  if (keeps_order(g, n)) return {};
  if (n.op == Prim::broadcast_in_dim && g.type(n.operands[0]).shape.numel() == 1) {
    map = {0, Shape::filled(space.rank(), 0)};
    return {};
  }
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

uint32_t Region::rows() { return without(space_.rank() - 1); }

uint32_t Region::without(int dim) {
  Shape kept = space_;
  kept[dim] = 1;
  IndexMap map{0, contiguous_strides(kept)};
  map.strides[dim] = 0;
  return intern(map);
}

uint32_t Region::scalar() { return intern({0, Shape::filled(space_.rank(), 0)}); }

uint32_t Region::placed(const Shape& part, const Shape& target, const Shape& start,
                        const Shape& step) {
  if (numel() == 0) return scalar();
  const Shape strides = contiguous_strides(target);
  Fine fine;
  IndexMap map;
  for (int d = 0; d < part.rank(); d++) {
    map.offset += start[d] * strides[d];
    if (part[d] > 1) fine.append(part[d], step[d] * strides[d], map);
  }
  fine.span_ = Shape::filled(fine.space_.rank(), 0);
  fine.first_ = {0}, fine.end_ = {space_.rank()};
  [[maybe_unused]] const bool is_adopted = adopt(fine, map);
  assert(is_adopted);
  return intern(map);
}

bool Region::is_redundant(uint32_t id) const {
  for (int s = 0; s < space_.rank(); s++)
    if (space_[s] > 1 && maps_[id].strides[s] == 0) return true;
  return false;
}

bool Region::split(int dim, int64_t inner) {
  if (dim >= space_.rank() - frozen_ || space_.rank() == kRankMax) return false;
  space_.insert(dim + 1, inner);
  space_[dim] /= inner;
  for (IndexMap& m : maps_) {
    int64_t step = m.strides[dim];
    m.strides.insert(dim + 1, space_[dim + 1] == 1 ? 0 : step);
    m.strides[dim] = space_[dim] == 1 ? 0 : step * inner;
  }
  return true;
}

bool Fine::append(int64_t size, int64_t stride, IndexMap& map) {
  const int last = space_.rank() - 1;
  if (last >= 0 && map.strides[last] == stride * size) {
    space_[last] *= size;
    map.strides[last] = stride;
    return false;
  }
  space_.push_back(size);
  map.strides.push_back(stride);
  return true;
}

Fine::Fine(const Shape& space, IndexMap& map) {
  IndexMap merged{map.offset, {}};
  for (int d = 0; d < space.rank(); d++) {
    if (space[d] == 1) continue;
    if (append(space[d], map.strides[d], merged)) {
      span_.push_back(space_.rank() - 1);
      first_.push_back(d);
      end_.push_back(d + 1);
    } else {
      end_[end_.rank() - 1] = d + 1;
    }
  }
  map = merged;
}

bool Fine::split(const Fit& fit, IndexMap& map) {
  if (fit.kind != Fit::split || space_.rank() == kRankMax) return false;
  int64_t step = map.strides[fit.dim];
  space_.insert(fit.dim + 1, fit.inner);
  space_[fit.dim] /= fit.inner;
  if (span_.rank() > 0) span_.insert(fit.dim + 1, span_[fit.dim]);
  map.strides.insert(fit.dim + 1, step);
  map.strides[fit.dim] = step * fit.inner;
  return true;
}

bool Fine::fold(const ir::Graph& g, const ir::Node& view, IndexMap& map) {
  for (;;) {
    Fit fit = through_view(g, view, space_, map);
    if (fit.kind == Fit::yes) return true;
    if (!split(fit, map)) return false;
  }
}

namespace {

struct Part {
  int dim;  // of the region's space
  int64_t size, stride;
};

// Writes dimensions [first, end) of a space and dimensions of another splitting of the same
// elements as parts of the former, innermost first. False when the two have no common refinement.
bool match(const Shape& space, int first, int end, std::vector<Part> other,
           std::vector<Part>& out) {
  int d = end - 1;
  int64_t left = 0;  // of dimension d
  while (!other.empty()) {
    Part& f = other.back();
    for (; left <= 1 && d >= first; d--) {
      left = space[d];
      if (left > 1) break;
    }
    if (left <= 1) return false;
    int64_t size = std::min(left, f.size);
    if (left % size != 0 || f.size % size != 0) return false;
    out.push_back({d, size, f.stride});
    left /= size;
    f.size /= size;
    f.stride *= size;
    if (left == 1) d--;
    if (f.size == 1) other.pop_back();
  }
  return true;
}

}  // namespace

bool Region::adopt(const Fine& fine, IndexMap& map) {
  std::vector<Part> parts;  // of the whole map, innermost first
  int at = fine.space_.rank() - 1;
  for (int span = fine.first_.rank() - 1; span >= 0; span--) {
    std::vector<Part> own;  // outermost first; neighbours that the map walks in order are one
    int begin = at;
    while (begin >= 0 && fine.span_[begin] == span) begin--;
    for (int i = begin + 1; i <= at; i++) {
      int64_t n = fine.space_[i];
      if (n == 1) continue;
      if (!own.empty() && own.back().stride == map.strides[i] * n)
        own.back() = {0, own.back().size * n, map.strides[i]};
      else
        own.push_back({0, n, map.strides[i]});
    }
    at = begin;
    if (!match(space_, static_cast<int>(fine.first_[span]), static_cast<int>(fine.end_[span]), own,
               parts))
      return false;
  }
  // Dimensions in several parts have to be split.
  int more = 0;
  for (size_t i = 1; i < parts.size(); i++) {
    if (parts[i].dim != parts[i - 1].dim) continue;
    more++;
    if (parts[i].dim >= space_.rank() - frozen_) return false;
  }
  if (space_.rank() + more > kRankMax) return false;
  Shape strides;
  size_t next = parts.size();
  for (int d = 0, rank = space_.rank(); d < rank; d++) {
    if (next == 0 || parts[next - 1].dim != d) strides.push_back(0);
    while (next > 0 && parts[next - 1].dim == d) strides.push_back(parts[--next].stride);
  }
  for (size_t i = 0; i + 1 < parts.size(); i++)
    if (parts[i].dim == parts[i + 1].dim) split(parts[i].dim, parts[i].size);
  map.strides = strides;
  return true;
}

bool Region::axis_index(const Shape& shape, int axis, IndexMap& map) {
  std::array<IndexMap, kRankMax> index;
  IndexMap fine_map = map;
  Fine fine(space_, fine_map);
  for (;;) {
    Fit fit = delinearize(fine.space(), fine_map, shape, index);
    if (fit.kind == Fit::yes) break;
    if (!fine.split(fit, fine_map)) return false;
  }
  IndexMap out = index[static_cast<size_t>(axis)];
  if (!adopt(fine, out)) return false;
  map = out;
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
    if (!split(first - 1, size / inside)) return false;
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
