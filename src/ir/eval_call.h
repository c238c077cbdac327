// One node under evaluation, and how its elements are found. Private to src/ir.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "src/ir/eval.h"

namespace moai::ir {

struct Call {
  const Node& node;
  std::vector<const Tensor*> in;
  std::vector<Tensor*> out;  // of the right type, zeroed

  template <class A>
  const A& attrs() const {
    return std::get<A>(node.attrs);
  }
  Status out_of_range(int64_t index, int64_t size) const {
    return {StatusCode::out_of_range, "[" + std::string(info(node.op).name) + "] index " +
                                          std::to_string(index) + " is outside " +
                                          std::to_string(size) + " elements"};
  }
};

inline const Shape& shape_of(const Tensor& t) { return t.type.shape; }

inline void copy_element(Tensor& to, int64_t i, const Tensor& from, int64_t j) {
  size_t n = size_of(to.type.dtype);
  std::memcpy(to.data.data() + static_cast<size_t>(i) * n,
              from.data.data() + static_cast<size_t>(j) * n, n);
}

// Calls f(index) for every index of the shape, row-major.
template <class F>
void for_each_index(const Shape& shape, F&& f) {
  Shape index = Shape::filled(shape.rank(), 0);
  for (int64_t left = shape.numel(); left > 0; left--) {
    f(static_cast<const Shape&>(index));
    for (int d = shape.rank() - 1; d >= 0; d--) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

// Row-major element number.
inline int64_t offset_of(const Shape& index, const Shape& shape) {
  int64_t at = 0;
  for (int d = 0; d < shape.rank(); d++) at = at * shape[d] + index[d];
  return at;
}

// A tensor as outer x size x inner around an axis; element (o, i, n) is (o * size + i) * inner + n.
struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
  AxisView(const Shape& s, int64_t axis) : size(s[static_cast<int>(axis)]) {
    for (int d = 0; d < s.rank(); d++)
      (d < axis ? outer : d > axis ? inner : size) *= d == axis ? 1 : s[d];
  }
  int64_t at(int64_t o, int64_t i, int64_t n) const { return (o * size + i) * inner + n; }
};

// A running reduction in f64, and in wrapping i64 for integers and bool.
class Accumulator {
 public:
  Accumulator(ReduceKind kind, DType dtype);
  void add(const Tensor& t, int64_t i);
  // Stores the result; empty gives the identity.
  void store(Tensor& t, int64_t i) const;

 private:
  void add_real(double v);
  void add_int(int64_t v);
  ReduceKind kind_;
  DType dtype_;
  double real_ = 0, scaled_ = 0;  // logsumexp: the maximum and the sum of exp(x - maximum)
  int64_t int_ = 0;
};

// Whether a precedes b in an order where NaN is largest.
bool is_less(const Tensor& t, int64_t a, int64_t b);
bool is_nan(const Tensor& t, int64_t i);

Status eval_pointwise(const Call&);
Status eval_data(const Call&);
Status eval_reduce(const Call&);
Status eval_contract(const Call&);
Status eval_index(const Call&);
Status eval_random(const Call&);
Status eval_attention(const Call&);

}  // namespace moai::ir
