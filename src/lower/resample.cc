#include "src/lower/resample.h"

namespace moai::lower {
namespace {

// Contracts axis 1 of x with an axis of the matrix; the other axis of the matrix becomes the last
// one. After as many turns as there are spatial axes they stand in order again.
Expr contract(Expr x, Expr matrix, int axis) {
  return {x.b, x.b->dot(x.v, matrix.v, {{}, {}, {1}, {axis}})};
}

}  // namespace

Expr planes_of(OpContext& c, Expr x, int spatial) {
  const Shape s = x.shape();
  if (s.rank() == spatial + 1) return x;
  if (s.rank() != spatial + 2) {
    c.fail(invalid("takes a tensor of " + std::to_string(spatial + 1) + " or " +
                   std::to_string(spatial + 2) + " dimensions"));
    return x.reshape(Shape::filled(spatial + 1, 1));
  }
  Shape flat = plane_of(s, spatial);
  flat.insert(0, s[0] * s[1]);
  return x.reshape(flat);
}

Shape plane_of(const Shape& s, int spatial) {
  Shape plane;
  for (int i = s.rank() - spatial; i < s.rank(); i++) plane.push_back(s[i]);
  return plane;
}

Expr resample(Expr x, std::span<const Expr> matrices) {
  for (const Expr& m : matrices) x = contract(x, m, 1);
  return x;
}
Expr resample_back(Expr x, std::span<const Expr> matrices) {
  for (const Expr& m : matrices) x = contract(x, m, 0);
  return x;
}

Expr row_number(OpContext& c, DType t, int64_t n, int64_t m) {
  return {&c.b, c.b.iota(0, t, {n, m})};
}
Expr column_number(OpContext& c, DType t, int64_t n, int64_t m) {
  return {&c.b, c.b.iota(1, t, {n, m})};
}

}  // namespace moai::lower
