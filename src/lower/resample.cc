#include "src/lower/resample.h"

namespace moai::lower {
namespace {

// Contracts axis 1 of x with an axis of the matrix; the other axis of the matrix becomes the last
// one.
Expr contract(Expr x, Expr matrix, int axis) {
  return {x.b, x.b->dot(x.v, matrix.v, {{}, {}, {1}, {axis}})};
}

}  // namespace

Expr planes_of(OpContext& c, Expr x) {
  const Shape s = x.shape();
  if (s.rank() == 3) return x;
  if (s.rank() == 4) return x.reshape({s[0] * s[1], s[2], s[3]});
  c.fail(invalid("takes a tensor of three or four dimensions"));
  return x.reshape({1, 1, 1});
}

Shape with_plane(const Shape& x, int64_t h, int64_t w) {
  Shape s = x;
  s[s.rank() - 2] = h;
  s[s.rank() - 1] = w;
  return s;
}

Expr resample(Expr x, Expr rows, Expr columns) {
  return contract(contract(x, rows, 1), columns, 1);
}
Expr resample_back(Expr x, Expr rows, Expr columns) {
  return contract(contract(x, rows, 0), columns, 0);
}

Expr row_number(OpContext& c, DType t, int64_t n, int64_t m) {
  return {&c.b, c.b.iota(0, t, {n, m})};
}
Expr column_number(OpContext& c, DType t, int64_t n, int64_t m) {
  return {&c.b, c.b.iota(1, t, {n, m})};
}

}  // namespace moai::lower
