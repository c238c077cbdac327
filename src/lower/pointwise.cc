#include "src/lower/pointwise.h"

#include <cmath>
#include <numbers>

namespace moai::lower {

std::vector<Expr> load(OpContext& c, std::span<const Operand> operands, Rule rule, size_t output) {
  const bool is_real = rule == Rule::real || rule == Rule::real_wide;
  DType t = is_real ? real_result_type(operands, c.output_dtype(output))
                    : result_type(operands, c.output_dtype(output));
  bool has_number = false;
  for (const Operand& o : operands) has_number = has_number || o.is_number;
  const bool is_wide =
      rule == Rule::wide || rule == Rule::real_wide || (has_number && rule != Rule::compare);
  if (is_wide) t = compute_type(t);
  Shape shape = common_shape(c, operands);
  std::vector<Expr> values;
  for (const Operand& o : operands) values.push_back(as(c, o, t, shape));
  return values;
}

std::vector<Expr> load_next(OpContext& c, int count, Rule rule) {
  std::vector<Operand> operands = next_operands(c, count);
  return load(c, operands, rule);
}

Expr asinh_of(Expr x) {
  Expr a = magnitude(x), big = log_of(a) + std::numbers::ln2;
  Expr small = log1p_of(a + a * a / (root(a * a + 1.0) + 1.0));
  Expr r = select(a > 1e4, big, small);
  return select(x < 0, -r, r);
}

Expr acosh_of(Expr x) {
  Expr t = x - 1.0;
  return select(x > 1e4, log_of(x) + std::numbers::ln2, log1p_of(t + root(t * 2.0 + t * t)));
}

Expr add_of(Expr a, Expr b) { return a.dtype() == DType::boolean ? either(a, b) : a + b; }
Expr mul_of(Expr a, Expr b) { return a.dtype() == DType::boolean ? both(a, b) : a * b; }

Expr sign_or_zero(Expr x) {
  if (x.dtype() == DType::boolean) return x;
  if (!is_float(x.dtype())) return sign_of(x);
  return select(x > 0, 1, select(x < 0, -1, x.constant(0)));
}

// C's remainder leaves it to the caller whether the quotient was rounded down.
static Expr wrong_side(Expr r, Expr divisor) {
  return both(not_equal(r, 0), not_equal(r < 0, divisor < 0));
}

Expr floor_divide_of(Expr a, Expr b) {
  Expr r = remainder_of(a, b);
  if (!is_float(a.dtype())) {
    Expr q = a / b;
    if (a.dtype() == DType::u8) return q;
    return select(wrong_side(r, b), q - 1.0, q);
  }
  // a - r is a multiple of b up to rounding, so the quotient is within one of a whole number.
  Expr q = (a - r) / b;
  q = select(wrong_side(r, b), q - 1.0, q);
  Expr down = floor_of(q);
  down = select(q - down > 0.5, down + 1.0, down);
  Expr signed_zero = (a / b) * 0.0;
  return select(equal(b, 0), a / b, select(equal(q, 0), signed_zero, down));
}

Expr trunc_divide_of(Expr a, Expr b) { return is_float(a.dtype()) ? trunc_of(a / b) : a / b; }

Expr remainder_by(Expr a, Expr b) {
  Expr r = remainder_of(a, b);
  if (a.dtype() == DType::u8) return r;
  return select(wrong_side(r, b), r + b, r);
}

Expr power_of(Expr x, const Operand& exponent, OpContext& c) {
  const wire::ScalarArg& n = exponent.number;
  if (exponent.is_number && !n.is_lifted) {
    const double e = n.kind == wire::ScalarArg::Kind::real ? n.f : static_cast<double>(n.i);
    if (e == 1) return x;
    if (e == 2) return x * x;
    if (e == 3) return x * x * x;
    if (is_float(x.dtype())) {
      if (e == 0.5) return root(x);
      if (e == -0.5) return inverse_root(x);
      if (e == -1) return 1.0 / x;
      if (e == -2) return 1.0 / (x * x);
    }
  }
  return power(x, as(c, exponent, x.dtype(), x.shape()));
}

Expr lerp_of(Expr a, Expr b, Expr weight) {
  Expr near = a + weight * (b - a), far = b - (b - a) * (1.0 - weight);
  return select(magnitude(weight) < 0.5, near, far);
}

Expr inf_if(Expr x, double sign) {
  if (!is_float(x.dtype())) return {x.b, x.b->constant(0, DType::boolean, x.shape())};
  return equal(x, sign * HUGE_VAL);
}

Expr true_of(Expr x) { return x.dtype() == DType::boolean ? x : not_equal(x, 0); }

Expr log_add_exp(Expr a, Expr b) {
  Expr same = both(equal(a, b), not_(is_finite(a)));
  Expr m = maximum(a, b);
  return select(same, a, m + log1p_of(exp_of(-magnitude(a - b))));
}

Expr log2_of(Expr x) { return log_of(x) * std::numbers::log2e; }
Expr log10_of(Expr x) { return log_of(x) * std::numbers::log10e; }
Expr clamp_min_of(Expr x, Expr lo) { return maximum(x, lo); }
Expr clamp_max_of(Expr x, Expr hi) { return minimum(x, hi); }

}  // namespace moai::lower
