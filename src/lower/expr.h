// Arithmetic on SSA values in formula notation. Both sides of an operator have one type; a number
// stands for a constant of the other side's type.
#pragma once
#include "src/ir/build.h"

namespace moai::lower {

struct Expr {
  ir::Builder* b = nullptr;
  ir::ValueId v = ir::ValueId::none;
  DType dtype() const { return b->dtype(v); }
  const Shape& shape() const { return b->shape(v); }
  int rank() const { return shape().rank(); }
  Expr constant(double c) const { return {b, b->constant(c, dtype(), shape())}; }
  Expr to(DType t) const { return {b, b->convert(v, t)}; }  // never float to bool
  Expr broadcast_to(const Shape& s) const { return {b, b->broadcast_to(v, s)}; }
  Expr reshape(const Shape& s) const { return {b, b->reshape(v, s)}; }
};

inline Expr unary(Prim op, Expr x) { return {x.b, x.b->unary(op, x.v)}; }
inline Expr binary(Prim op, Expr x, Expr y) { return {x.b, x.b->binary(op, x.v, y.v)}; }

#define MOAI_EXPR_BINARY(name, prim)                                                  \
  inline Expr name(Expr x, Expr y) { return binary(Prim::prim, x, y); }               \
  inline Expr name(Expr x, double y) { return binary(Prim::prim, x, x.constant(y)); } \
  inline Expr name(double x, Expr y) { return binary(Prim::prim, y.constant(x), y); }
MOAI_EXPR_BINARY(operator+, add)
MOAI_EXPR_BINARY(operator-, sub)
MOAI_EXPR_BINARY(operator*, mul)
MOAI_EXPR_BINARY(operator/, div)
MOAI_EXPR_BINARY(operator<, lt)
MOAI_EXPR_BINARY(operator<=, le)
MOAI_EXPR_BINARY(operator>, gt)
MOAI_EXPR_BINARY(operator>=, ge)
MOAI_EXPR_BINARY(equal, eq)
MOAI_EXPR_BINARY(not_equal, ne)
MOAI_EXPR_BINARY(maximum, max)
MOAI_EXPR_BINARY(minimum, min)
MOAI_EXPR_BINARY(remainder_of, rem)
MOAI_EXPR_BINARY(power, pow)
MOAI_EXPR_BINARY(arctan2, atan2)
#undef MOAI_EXPR_BINARY
inline Expr both(Expr x, Expr y) { return binary(Prim::bit_and, x, y); }
inline Expr either(Expr x, Expr y) { return binary(Prim::bit_or, x, y); }
inline Expr not_(Expr x) { return unary(Prim::logical_not, x); }
inline Expr operator-(Expr x) { return unary(Prim::neg, x); }

#define MOAI_EXPR_UNARY(name, prim) \
  inline Expr name(Expr x) { return unary(Prim::prim, x); }
MOAI_EXPR_UNARY(magnitude, abs)
MOAI_EXPR_UNARY(sign_of, sign)
MOAI_EXPR_UNARY(floor_of, floor)
MOAI_EXPR_UNARY(ceil_of, ceil)
MOAI_EXPR_UNARY(trunc_of, trunc)
MOAI_EXPR_UNARY(round_of, round_even)
MOAI_EXPR_UNARY(root, sqrt)
MOAI_EXPR_UNARY(inverse_root, rsqrt)
MOAI_EXPR_UNARY(exp_of, exp)
MOAI_EXPR_UNARY(expm1_of, expm1)
MOAI_EXPR_UNARY(log_of, log)
MOAI_EXPR_UNARY(log1p_of, log1p)
MOAI_EXPR_UNARY(sin_of, sin)
MOAI_EXPR_UNARY(cos_of, cos)
MOAI_EXPR_UNARY(tanh_of, tanh)
MOAI_EXPR_UNARY(erf_of, erf)
MOAI_EXPR_UNARY(erfinv_of, erfinv)
MOAI_EXPR_UNARY(is_nan, is_nan)
MOAI_EXPR_UNARY(is_finite, is_finite)
#undef MOAI_EXPR_UNARY

inline Expr select(Expr cond, Expr x, Expr y) { return {x.b, x.b->select(cond.v, x.v, y.v)}; }
inline Expr select(Expr cond, Expr x, double y) { return select(cond, x, x.constant(y)); }
inline Expr select(Expr cond, double x, Expr y) { return select(cond, y.constant(x), y); }
inline Expr sum_of(Expr x, const Shape& axes) {
  return {x.b, x.b->reduce(ReduceKind::sum, x.v, axes)};
}
inline Expr sigmoid_of(Expr x) { return 1.0 / (exp_of(-x) + 1.0); }

}  // namespace moai::lower
