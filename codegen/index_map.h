// Affine maps from a kernel's iteration space to the row-major elements of a value, and how views change
// them. Pure arithmetic: the one place that knows when a view folds into an index map.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

// element index = offset + sum(index[d] * strides[d]). The stride of a dimension of size 1 is 0.
struct IndexMap {
  int64_t offset = 0;
  Shape strides;
  bool operator==(const IndexMap&) const = default;
};

// Whether a view folds. split: it would, if dimension `dim` of the space were split into (size / inner, inner).
struct Fit {
  enum Kind : uint8_t { yes, split, no } kind = yes;
  int dim = 0;
  int64_t inner = 0;
};

// The index along each dimension of `shape`, as an affine function of the space, for a map to its row-major
// elements. Requires: no dimension of `space` or `shape` is 0.
Fit delinearize(const Shape& space, const IndexMap& map, const Shape& shape,
                std::array<IndexMap, kRankMax>& out);

// Whether `op` only looks at its operand 0 in another order, so that it can fold.
bool is_view(const ir::Graph&, const ir::Node&);
// Whether the view keeps the bytes in place: reshape, and bitcast of equal element size.
bool keeps_order(const ir::Graph&, const ir::Node&);
// Turns a map to the elements of the view's result into one to the elements of its operand.
Fit through_view(const ir::Graph&, const ir::Node& view, const Shape& space, IndexMap& map);

// An iteration space and the maps that a kernel uses, interned. Splitting a dimension keeps every map.
class Region {
 public:
  // frozen: dimensions from the end that must stay whole (a row: 1, a column program: 3).
  Region(const Shape& space, int frozen) : space_(space), frozen_(frozen) {}
  const Shape& space() const { return space_; }
  int frozen() const { return frozen_; }
  const IndexMap& map(uint32_t id) const { return maps_[id]; }
  uint32_t intern(const IndexMap& map);
  uint32_t whole();  // element i of the space is element i of the value
  uint32_t rows();   // one element a row: whole() without the last dimension
  uint32_t scalar(); // one element for all
  int64_t numel() const { return space_.numel(); }
  bool is_redundant(uint32_t id) const;  // some dimension does not matter

  // Replaces `map`, which leads to the result of `view`, by one to its operand; splits as needed.
  bool fold(const ir::Graph&, const ir::Node& view, IndexMap& map);
  // Index along `axis` of a value of `shape` that `map` leads to; a map of its own. False: not affine.
  bool axis_index(const Shape& shape, int axis, IndexMap& map);
  // Makes the last dimension a frozen row of `size` elements. False: some map forbids it.
  bool make_row(int64_t size);
  // Adds a row of `size` elements inside; what exists becomes one value a row.
  bool append_row(int64_t size);

  // Merges and drops dimensions where every map in `used` allows it.
  void coalesce(const std::vector<uint32_t>& used);

 private:
  bool split(int dim, int64_t inner, IndexMap& extra);
  bool can_merge(int dim, const std::vector<uint32_t>* used) const;
  void merge(int dim);
  Shape space_;
  int frozen_;
  std::vector<IndexMap> maps_;
};

}  // namespace moai::codegen
