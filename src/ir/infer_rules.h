// What the shape rules share: one call of infer() with its checks. Private to src/ir.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "src/ir/checked.h"
#include "src/ir/graph.h"

namespace moai::ir {

// "f32[2,3]"
std::string to_text(const Type& t);
std::string to_text(const Shape& s);

// Whether sizes are >= 0 and the bytes fit kStorageBytesMax, counting empty dimensions as 1.
bool is_sound(const Type& t);

// The struct of op_attrs.h that the primitive takes, with its defaults.
Attrs default_attrs(Prim op);

struct Rule {
  Prim op;
  const Attrs& attrs;
  std::span<const Type> in;
  const Type& hint;

  Status fail(const std::string& why) const {
    return invalid("[" + std::string(info(op).name) + "] " + why);
  }
  template <class A>
  const A* get() const {
    return std::get_if<A>(&attrs);
  }
  Status check_axis(int64_t axis, int rank) const;
  // Distinct axes in [0, rank).
  Status check_axes(const Shape& axes, int rank) const;
  Status check_same_type(size_t i, size_t j) const;
  Status check_same_dtype(size_t i, size_t j) const;
  Status check_scalar(size_t i, DType dtype) const;
};

using Types = StatusOr<std::vector<Type>>;
Types infer_pointwise(const Rule&);
Types infer_data(const Rule&);      // constant ... reverse
Types infer_reduce(const Rule&);    // reduce ... scan_arg
Types infer_contract(const Rule&);  // dot_general, conv, conv_wgrad
Types infer_index(const Rule&);     // gather ... nonzero
Types infer_random(const Rule&);
Types infer_attention(const Rule&);

// Positions of a window over `size` elements: floor((size + lo + hi - dilation*(window-1) -
// 1)/stride) + 1, at least 0. Not ok when it overflows.
Checked window_count(int64_t size, int64_t window, int64_t stride, int64_t dilation, int64_t lo,
                     int64_t hi);

}  // namespace moai::ir
