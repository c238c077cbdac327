// Pointwise ops: the rows of aten_map.def and those that take more than operands.
#include <cmath>
#include <numbers>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

// Scaled by the larger side, so that squares neither overflow nor vanish.
Expr hypot_of(Expr x, Expr y) {
  Expr a = magnitude(x), b = magnitude(y), hi = maximum(a, b), lo = minimum(a, b);
  Expr q = lo / select(equal(hi, 0), 1, hi);
  Expr infinite = either(inf_if(a, 1), inf_if(b, 1));
  return select(infinite, HUGE_VAL, hi * root(q * q + 1.0));
}

Expr copysign_of(Expr x, Expr y) {
  // 1 / -0 is -inf: the sign of zero shows in the reciprocal.
  Expr is_negative = either(y < 0, both(equal(y, 0), 1.0 / y < 0));
  Expr a = magnitude(x);
  return select(is_negative, -a, a);
}

Expr xlogy_of(Expr x, Expr y, Expr log_y) {
  return select(is_nan(y), y, select(equal(x, 0), 0, x * log_y));
}

// The next number in the direction of y: numbers of one sign are ordered as their bits are.
Expr next_after(Expr x, Expr y) {
  constexpr DType kBits[] = {DType::i64, DType::i32, DType::i16, DType::i16};  // f64 f32 f16 bf16
  if (!is_float(x.dtype())) return x;
  const DType t = x.dtype(), whole = kBits[static_cast<int>(t)];
  auto as_type = [](Expr v, DType dtype) { return Expr{v.b, v.b->bitcast(v.v, dtype)}; };
  Expr bits = as_type(x, whole);
  Expr rises = x < y;
  Expr is_positive = x > 0;
  Expr moved = as_type(select(equal(rises, is_positive), bits + 1.0, bits - 1.0), t);
  Expr least = as_type(bits.constant(1), t);
  moved = select(equal(x, 0), select(y > 0, least, -least), moved);
  moved = select(equal(x, y), y, moved);
  return select(either(is_nan(x), is_nan(y)), x + y, moved);
}

Expr silu_gradient(Expr g, Expr x) {
  Expr s = sigmoid_of(x);
  return g * s * (x * (1.0 - s) + 1.0);
}

Expr mish_gradient(Expr g, Expr x) {
  Expr t = tanh_of(log1p_of(exp_of(x)));
  return g * (t + x * sigmoid_of(x) * (1.0 - t * t));
}

// alpha: a number that is 1 unless the op says otherwise.
Expr scaled(OpContext& c, Expr y, const Operand& alpha) {
  const wire::ScalarArg& n = alpha.number;
  const bool is_one = alpha.is_number && !n.is_lifted &&
                      (n.kind == wire::ScalarArg::Kind::real ? n.f == 1 : n.i == 1);
  if (is_one) return y;
  return mul_of(y, as(c, alpha, y.dtype(), y.shape()));
}

enum class Sum : uint8_t { add, sub, rsub };

template <Sum kind>
void lower_sum(OpContext& c) {  // self, other, alpha
  std::vector<Operand> operands = next_operands(c, 2);
  Operand alpha = c.args.peek() == wire::Tag::outputs ? Operand{} : next_number_or(c, 1);
  const bool is_plain = alpha.value == ir::ValueId::none && !alpha.is_number;
  Rule rule =
      is_plain || (!alpha.number.is_lifted && alpha.number.i == 1) ? Rule::native : Rule::wide;
  auto x = load(c, operands, rule);
  Expr a = kind == Sum::rsub ? x[1] : x[0], b = kind == Sum::rsub ? x[0] : x[1];
  if (!is_plain) b = scaled(c, b, alpha);
  c.finish(kind == Sum::add ? add_of(a, b).v : (a - b).v);
}

void lower_div_mode(OpContext& c) {  // self, other, rounding_mode
  std::vector<Operand> operands = next_operands(c, 2);
  std::string_view mode = c.args.text();
  // ATen rounds a quotient to the dtype before it truncates it.
  Rule rule = mode.empty() ? Rule::real : mode == "trunc" ? Rule::native : Rule::wide;
  auto x = load(c, operands, rule);
  if (mode.empty())
    c.finish((x[0] / x[1]).v);
  else if (mode == "floor")
    c.finish(floor_divide_of(x[0], x[1]).v);
  else if (mode == "trunc")
    c.finish(trunc_divide_of(x[0], x[1]).v);
  else
    c.fail(invalid("rounding mode must be trunc or floor, is " + std::string(mode)));
}

void lower_pow(OpContext& c) {  // self, exponent
  std::vector<Operand> operands = next_operands(c, 2);
  auto x = load(c, operands, Rule::wide);
  c.finish(operands[1].is_number ? power_of(x[0], operands[1], c).v : power(x[0], x[1]).v);
}

void lower_clamp(OpContext& c) {  // self, min, max
  std::vector<Operand> operands = {next_operand(c)};
  auto lo = next_operand_optional(c), hi = next_operand_optional(c);
  if (lo) operands.push_back(*lo);
  if (hi) operands.push_back(*hi);
  auto x = load(c, operands, Rule::compare);
  Expr r = x[0];
  if (lo) r = clamp_min_of(r, x[1]);
  if (hi) r = clamp_max_of(r, x.back());
  c.finish(r.v);
}

void lower_where(OpContext& c) {  // condition, self, other
  Operand cond = next_operand(c);
  std::vector<Operand> operands = next_operands(c, 2);
  DType t = result_type(operands, c.output_dtype());
  operands.push_back(cond);
  Shape shape = common_shape(c, operands);
  Expr is_first = true_of(as(c, cond, cond.is_number ? DType::boolean : cond.dtype, shape));
  c.finish(select(is_first, as(c, operands[0], t, shape), as(c, operands[1], t, shape)).v);
}

void lower_masked_fill(OpContext& c) {  // self, mask, value
  std::vector<Operand> operands = next_operands(c, 2);
  Operand value = next_operand(c);
  Shape shape = common_shape(c, operands);
  Expr mask = true_of(as(c, operands[1], operands[1].dtype, shape));
  DType t = operands[0].dtype;
  c.finish(select(mask, as(c, value, t, shape), as(c, operands[0], t, shape)).v);
}

template <bool kDivides>
void lower_addc(OpContext& c) {  // self, tensor1, tensor2, value
  std::vector<Operand> operands = next_operands(c, 3);
  Operand value = c.args.peek() == wire::Tag::outputs ? operand_of(wire::ScalarArg{.f = 1})
                                                      : next_number_or(c, 1);
  auto x = load(c, operands, kDivides ? Rule::real_wide : Rule::wide);
  Expr first = scaled(c, x[1], value);
  c.finish((x[0] + (kDivides ? first / x[2] : first * x[2])).v);
}

void lower_lerp(OpContext& c) { ternary_op(c, Rule::wide, lerp_of); }  // self, end, weight

void lower_nan_to_num(OpContext& c) {  // self, nan, posinf, neginf
  Expr x = load_next(c, 1, Rule::native)[0];
  if (!is_float(x.dtype())) return c.finish(x.v);
  auto nan = next_operand_optional(c), hi = next_operand_optional(c), lo = next_operand_optional(c);
  auto value = [&](const std::optional<Operand>& o, double fallback) {
    return o ? as(c, *o, x.dtype(), x.shape()) : x.constant(fallback);
  };
  constexpr double kMax[] = {1.7976931348623157e308, 3.4028234663852886e38, 65504,
                             3.3895313892515355e38};
  const double most = is_float(x.dtype()) ? kMax[static_cast<int>(x.dtype())] : 0;
  Expr r = select(is_nan(x), value(nan, 0), x);
  r = select(inf_if(x, 1), value(hi, most), r);
  c.finish(select(inf_if(x, -1), value(lo, -most), r).v);
}

void lower_round_decimals(OpContext& c) {  // self, decimals
  Expr x = load_next(c, 1, Rule::wide)[0];
  const auto decimals = static_cast<double>(c.args.integer_or(0));
  if (!is_float(x.dtype())) return c.finish(x.v);
  const double scale = std::pow(10.0, std::abs(decimals));
  c.finish(decimals < 0 ? (round_of(x / scale) * scale).v : (round_of(x * scale) / scale).v);
}

void lower_signbit(OpContext& c) {
  Expr x = load_next(c, 1, Rule::native)[0];
  if (x.dtype() == DType::boolean) return c.finish(c.b.constant(0, DType::boolean, x.shape()));
  if (!is_float(x.dtype())) return c.finish((x < 0).v);
  c.finish(either(x < 0, both(equal(x, 0), 1.0 / x < 0)).v);
}

template <bool kIsBackward>
void lower_logit(OpContext& c) {  // [grad,] self, eps
  auto x = load_next(c, kIsBackward ? 2 : 1, Rule::real_wide);
  auto eps = next_operand_optional(c);
  Expr v = x.back(), lo = v.constant(0);
  if (eps) lo = as(c, *eps, v.dtype(), v.shape());
  Expr hi = 1.0 - lo;
  if (kIsBackward) {
    Expr outside = either(v<lo, v> hi);
    return c.finish(select(outside, eps ? 0 : NAN, x[0] / (v * (1.0 - v))).v);
  }
  if (eps) v = select(v < lo, lo, select(v > hi, hi, v));  // lo may be above hi
  c.finish(log_of(v / (1.0 - v)).v);
}

constexpr OpRow kRows[] = {
#define MOAI_UNARY(name, rule, formula) \
  {name, dtypes_of(Rule::rule),         \
   [](OpContext& c) { unary_op(c, Rule::rule, [](Expr x) { return formula; }); }},
#define MOAI_BINARY(name, rule, formula) \
  {name, dtypes_of(Rule::rule),          \
   [](OpContext& c) { binary_op(c, Rule::rule, [](Expr x, Expr y) { return formula; }); }},
#include "src/lower/aten_map.def"
#define MOAI_FUNCTION(name) \
  {#name, kAll,             \
   [](OpContext& c) { unary_op(c, Rule::real, [](Expr x) { return unary(Prim::name, x); }); }},
#include "moai/ops.def"
    {"add.Tensor", kAll, lower_sum<Sum::add>},
    {"add.Scalar", kAll, lower_sum<Sum::add>},
    {"sub.Tensor", kAll, lower_sum<Sum::sub>},
    {"sub.Scalar", kAll, lower_sum<Sum::sub>},
    {"rsub.Tensor", kAll, lower_sum<Sum::rsub>},
    {"rsub.Scalar", kAll, lower_sum<Sum::rsub>},
    {"div.Tensor_mode", kAll, lower_div_mode},
    {"div.Scalar_mode", kAll, lower_div_mode},
    {"pow.Tensor_Tensor", kAll, lower_pow},
    {"pow.Tensor_Scalar", kAll, lower_pow},
    {"pow.Scalar", kAll, lower_pow},
    {"clamp", kAll, lower_clamp},
    {"clamp.Tensor", kAll, lower_clamp},
    {"where.self", kAll, lower_where},
    {"where.ScalarOther", kAll, lower_where},
    {"where.ScalarSelf", kAll, lower_where},
    {"where.Scalar", kAll, lower_where},
    {"masked_fill.Scalar", kAll, lower_masked_fill},
    {"masked_fill.Tensor", kAll, lower_masked_fill},
    {"addcmul", kAll, lower_addc<false>},
    {"addcdiv", kAll, lower_addc<true>},
    {"lerp.Scalar", kFloats, lower_lerp},
    {"lerp.Tensor", kFloats, lower_lerp},
    {"nan_to_num", kAll, lower_nan_to_num},
    {"round.decimals", kNumbers, lower_round_decimals},
    {"signbit", kAll, lower_signbit},
    {"logit", kAll, lower_logit<false>},
    {"special_logit", kAll, lower_logit<false>},
    {"logit_backward", kFloats, lower_logit<true>},
};

}  // namespace

std::span<const OpRow> pointwise_ops() { return kRows; }

}  // namespace moai::lower
