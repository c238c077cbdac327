// Affine maps from a kernel's iteration space to the row-major elements of a value, and how views
// change them. Pure arithmetic: the one place that knows when a view folds into an index map.
#pragma once
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

// element index = offset + sum(index[d] * strides[d]). The stride of a dimension of size 1 is 0.
struct IndexMap {
  int64_t offset = 0;
  Shape strides;
  bool operator==(const IndexMap&) const = default;
};

// Whether a view folds. split: it would, if dimension `dim` of the space were split into (size /
// inner, inner).
struct Fit {
  enum Kind : uint8_t { yes, split, no } kind = yes;
  int dim = 0;
  int64_t inner = 0;
};

// The index along each dimension of `shape`, as an affine function of the space, for a map to its
// row-major elements. Requires: no dimension of `space` or `shape` is 0.
Fit delinearize(const Shape& space, const IndexMap& map, const Shape& shape,
                std::array<IndexMap, kRankMax>& out);

// Whether `op` only looks at its operand 0 in another order, so that it can fold.
bool is_view(const ir::Graph&, const ir::Node&);
// Whether the view keeps the bytes in place: reshape, and bitcast of equal element size.
bool keeps_order(const ir::Graph&, const ir::Node&);
// Turns a map to the elements of the view's result into one to the elements of its operand.
Fit through_view(const ir::Graph&, const ir::Node& view, const Shape& space, IndexMap& map);

// A space as one map needs it for the time of a calculation: what it walks in order is merged
// first, then split as views ask for. So what folds does not depend on how other maps have split
// the space.
class Fine {
 public:
  explicit Fine(const Shape& space) : space_(space) {}
  // Merges dimensions of `space` where `map` allows it, and changes `map` to match.
  Fine(const Shape& space, IndexMap& map);
  const Shape& space() const { return space_; }
  // Replaces a map to the view's result by one to its operand. False: not affine; `map` still fits
  // space().
  bool fold(const ir::Graph&, const ir::Node& view, IndexMap& map);
  bool split(const Fit& fit, IndexMap& map);

 private:
  friend class Region;
  Fine() = default;
  // One more dimension inside. False: it continues the last one and is merged with it.
  bool append(int64_t size, int64_t stride, IndexMap& map);
  Shape space_;
  Shape span_;         // per dimension: which merged dimension it is a part of
  Shape first_, end_;  // per merged dimension: the dimensions of the original space
};

// An iteration space and the maps that a kernel uses, interned. Splitting a dimension keeps every
// map.
class Region {
 public:
  // frozen: dimensions from the end that must stay whole (a row: 1, a column program: 3).
  Region(const Shape& space, int frozen) : space_(space), frozen_(frozen) {}
  const Shape& space() const { return space_; }
  int frozen() const { return frozen_; }
  const IndexMap& map(uint32_t id) const { return maps_[id]; }
  uint32_t intern(const IndexMap& map);
  uint32_t whole();           // element i of the space is element i of the value
  uint32_t without(int dim);  // the same for a value that lacks this dimension
  uint32_t rows();            // without() the last dimension
  uint32_t scalar();          // one element for all
  // Where the elements of `part`, walked in order, lie in `whole`: at start + step * index along
  // each axis.
  uint32_t placed(const Shape& part, const Shape& whole, const Shape& start, const Shape& step);
  int64_t numel() const { return space_.numel(); }
  bool is_redundant(uint32_t id) const;  // some dimension does not matter

  // Follows views down from v, whose elements `map` leads to, as long as `goes_through` says so and
  // the map stays affine; splits as needed. Returns the value at the end and changes `map` to lead
  // there.
  template <class F>
  ir::ValueId follow(const ir::Graph& g, ir::ValueId v, IndexMap& map, F&& goes_through) {
    IndexMap merged = map;
    Fine fine(space_, merged);
    std::vector<Step> steps{{v, merged, fine}};
    while (goes_through(steps.back().value)) {
      Step next = steps.back();
      const ir::Node& view = *g.def(next.value);
      if (!next.fine.fold(g, view, next.map)) break;
      next.value = view.operands[0];
      steps.push_back(next);
    }
    while (steps.size() > 1 && !adopt(steps.back().fine, steps.back().map)) steps.pop_back();
    map = steps.size() > 1 ? steps.back().map : map;
    return steps.back().value;
  }
  // Index along `axis` of a value of `shape` that `map` leads to; a map of its own. False: not
  // affine.
  bool axis_index(const Shape& shape, int axis, IndexMap& map);
  // Makes the last dimension a frozen row of `size` elements. False: some map forbids it.
  bool make_row(int64_t size);
  // Adds a row of `size` elements inside; what exists becomes one value a row.
  bool append_row(int64_t size);

  // Merges and drops dimensions where every map in `used` allows it.
  void coalesce(const std::vector<uint32_t>& used);

 private:
  struct Step {
    ir::ValueId value;
    IndexMap map;
    Fine fine;
  };
  // Turns a map over `fine` into one over the space, which is split where the map needs it. False
  // when that is not possible: a frozen dimension, or splits that do not go together.
  bool adopt(const Fine& fine, IndexMap& map);
  bool split(int dim, int64_t inner);
  bool can_merge(int dim, const std::vector<uint32_t>* used) const;
  void merge(int dim);
  Shape space_;
  int frozen_;
  std::vector<IndexMap> maps_;
};

}  // namespace moai::codegen
