#include "src/lower/reductions.h"

#include <cmath>

namespace moai::lower {
namespace {

// +-inf, where an empty x has no extreme.
Expr norm_infinite(Expr a, bool is_largest, const Shape& axes, bool keep) {
  return reduce(a, is_largest ? ReduceKind::max : ReduceKind::min, axes, keep);
}

Expr norm_zero(Expr x, const Shape& axes, bool keep) {
  return reduce(not_equal(x, 0).to(x.dtype()), ReduceKind::sum, axes, keep);
}

Expr norm_two(Expr x, const Shape& axes, bool keep) {
  return root(reduce(x * x, ReduceKind::sum, axes, keep));
}

}  // namespace

Expr reduce(Expr x, ReduceKind kind, const Shape& axes, bool keep) {
  return {x.b, keep ? x.b->reduce_keep(kind, x.v, axes) : x.b->reduce(kind, x.v, axes)};
}

Expr arg_reduce(Expr x, ReduceKind kind, int axis, bool keep) {
  Shape kept = x.shape();
  Expr r{x.b, x.b->arg_reduce(kind, x.v, axis)};
  if (!keep || axis >= kept.rank()) return r;
  kept[axis] = 1;
  return r.reshape(kept);
}

Operand whole_number(int64_t v) {
  wire::ScalarArg s;
  s.kind = wire::ScalarArg::Kind::integer;
  s.i = v;
  s.f = static_cast<double>(v);
  return operand_of(s);
}

Expr norm_of(OpContext& c, Expr x, const Operand& p, const Shape& axes, bool keep) {
  Expr a = magnitude(x);
  if (!p.number.is_lifted) {
    const double n = p.number.f;
    if (n == 2) return norm_two(x, axes, keep);
    if (n == 1) return reduce(a, ReduceKind::sum, axes, keep);
    if (n == 0) return norm_zero(x, axes, keep);
    if (std::isinf(n)) return norm_infinite(a, n > 0, axes, keep);
    return power(reduce(power(a, n), ReduceKind::sum, axes, keep), 1 / n);
  }
  // The order is known when the segment runs: every special order is there to be chosen.
  Expr order{&c.b, c.scalar(p.number, x.dtype())};
  Expr by_element = order.broadcast_to(x.shape());
  Expr general = reduce(power(a, by_element), ReduceKind::sum, axes, keep);
  Expr n = order.broadcast_to(general.shape());
  Expr r = power(general, 1.0 / n);
  r = select(equal(n, 2), norm_two(x, axes, keep), r);
  r = select(equal(n, 0), norm_zero(x, axes, keep), r);
  if (x.shape().numel() == 0) return r;
  r = select(equal(n, HUGE_VAL), norm_infinite(a, true, axes, keep), r);
  return select(equal(n, -HUGE_VAL), norm_infinite(a, false, axes, keep), r);
}

}  // namespace moai::lower
