// Activations with parameters, and their gradients. Computed in f32 for f16 and bf16, rounded once.
#include <numbers>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

// The tensors of an op in one compute dtype; numbers become values of it.
class Arguments {
 public:
  explicit Arguments(OpContext& c) : c_(c) {}
  Arguments& tensors(int count) {
    x_ = load_next(c_, count, Rule::real_wide);
    return *this;
  }
  Expr operator[](size_t i) const { return x_[i]; }
  Expr number(double fallback) {
    return as(c_, c_.has_more() ? next_number_or(c_, fallback) : fixed(fallback), x_[0].dtype(),
              x_[0].shape());
  }
  static Operand fixed(double v) {
    wire::ScalarArg s;
    s.f = v;
    return operand_of(s);
  }

 private:
  OpContext& c_;
  std::vector<Expr> x_;
};

constexpr double kRootHalf = std::numbers::sqrt2 / 2;
constexpr double kTanhScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
constexpr double kTanhCube = 0.044715;

bool is_tanh(OpContext& c) { return c.has_more() && c.args.text() == "tanh"; }

void lower_gelu(OpContext& c) {  // self, approximate
  Expr x = load_next(c, 1, Rule::real_wide)[0];
  Expr inner =
      is_tanh(c) ? tanh_of((x + x * x * x * kTanhCube) * kTanhScale) : erf_of(x * kRootHalf);
  c.finish((x * 0.5 * (inner + 1.0)).v);
}

void lower_gelu_backward(OpContext& c) {  // grad, self, approximate
  auto a = load_next(c, 2, Rule::real_wide);
  Expr g = a[0], x = a[1];
  if (is_tanh(c)) {
    Expr t = tanh_of((x + x * x * x * kTanhCube) * kTanhScale);
    Expr slope = (x * x * (3 * kTanhCube) + 1.0) * kTanhScale;
    return c.finish((g * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * slope)).v);
  }
  Expr cdf = (erf_of(x * kRootHalf) + 1.0) * 0.5;
  Expr density = exp_of(x * x * -0.5) * (kRootHalf * std::numbers::inv_sqrtpi);
  c.finish((g * (cdf + x * density)).v);
}

void lower_threshold(OpContext& c) {  // self, threshold, value
  Arguments a(c);
  Expr x = a.tensors(1)[0], threshold = a.number(0), value = a.number(0);
  c.finish(select(x <= threshold, value, x).v);
}

void lower_threshold_backward(OpContext& c) {  // grad, self, threshold
  auto x = load_next(c, 2, Rule::native);
  Expr threshold = as(c, next_operand(c), x[1].dtype(), x[1].shape());
  c.finish(select(x[1] <= threshold, 0, x[0]).v);
}

void lower_leaky_relu(OpContext& c) {  // self, slope
  Arguments a(c);
  Expr x = a.tensors(1)[0], slope = a.number(0.01);
  c.finish(select(x > 0, x, x * slope).v);
}

void lower_leaky_relu_backward(OpContext& c) {  // grad, self or result, slope
  Arguments a(c);
  a.tensors(2);
  Expr slope = a.number(0.01);
  c.finish(select(a[1] > 0, a[0], a[0] * slope).v);
}

Expr elu_of(Expr x, Expr alpha, Expr scale, Expr input_scale) {
  return select(x <= 0, expm1_of(x * input_scale) * (alpha * scale), x * scale);
}

void lower_elu(OpContext& c) {  // self, alpha, scale, input_scale
  Arguments a(c);
  Expr x = a.tensors(1)[0], alpha = a.number(1), scale = a.number(1);
  c.finish(elu_of(x, alpha, scale, a.number(1)).v);
}

void lower_celu(OpContext& c) {  // self, alpha
  Arguments a(c);
  Expr x = a.tensors(1)[0], alpha = a.number(1);
  c.finish(elu_of(x, alpha, x.constant(1), 1.0 / alpha).v);
}

void lower_elu_backward(
    OpContext& c) {  // grad, alpha, scale, input_scale, is_result, self or result
  Operand grad = next_operand(c);
  std::vector<Operand> numbers = next_operands(c, 3);
  const bool is_result = c.args.integer_or(0) != 0;
  std::vector<Operand> tensors = {grad, next_operand(c)};
  auto x = load(c, tensors, Rule::real_wide);
  auto number = [&](size_t i) { return as(c, numbers[i], x[0].dtype(), x[0].shape()); };
  Expr scale = number(1), bend = number(0) * scale, input_scale = number(2);
  Expr below = is_result ? x[1] + bend : bend * exp_of(x[1] * input_scale);
  c.finish(select(x[1] <= 0, x[0] * input_scale * below, x[0] * scale).v);
}

void lower_hardtanh(OpContext& c) {  // self, min, max
  Expr x = load_next(c, 1, Rule::native)[0];
  Expr lo = as(c, next_number_or(c, -1), x.dtype(), x.shape());
  Expr hi = as(c, next_number_or(c, 1), x.dtype(), x.shape());
  c.finish(clamp_max_of(clamp_min_of(x, lo), hi).v);
}

void lower_hardtanh_backward(OpContext& c) {  // grad, self, min, max
  Arguments a(c);
  a.tensors(2);
  Expr lo = a.number(-1), hi = a.number(1);
  c.finish(select(either(a[1] <= lo, a[1] >= hi), 0, a[0]).v);
}

void lower_softplus(OpContext& c) {  // self, beta, threshold
  Arguments a(c);
  Expr x = a.tensors(1)[0], beta = a.number(1), threshold = a.number(20);
  Expr z = x * beta;
  c.finish(select(z > threshold, x, log1p_of(exp_of(z)) / beta).v);
}

void lower_softplus_backward(OpContext& c) {  // grad, self, beta, threshold
  Arguments a(c);
  a.tensors(2);
  Expr z = a[1] * a.number(1), threshold = a.number(20), e = exp_of(z);
  c.finish(select(z > threshold, a[0], a[0] * e / (e + 1.0)).v);
}

void lower_hardshrink(OpContext& c) {  // self, lambda
  Arguments a(c);
  Expr x = a.tensors(1)[0], l = a.number(0.5);
  c.finish(select(both(x >= -l, x <= l), 0, x).v);
}

void lower_softshrink(OpContext& c) {  // self, lambda
  Arguments a(c);
  Expr x = a.tensors(1)[0], l = a.number(0.5);
  c.finish(select(x > l, x - l, select(x < -l, x + l, x * 0.0)).v);
}

void lower_shrink_backward(OpContext& c) {  // grad, self, lambda
  Arguments a(c);
  a.tensors(2);
  Expr l = a.number(0.5);
  c.finish(select(both(a[1] >= -l, a[1] <= l), 0, a[0]).v);
}

void lower_prelu_backward(OpContext& c) {  // grad, self, weight
  auto a = load_next(c, 3, Rule::real_wide);
  const ir::ValueId results[] = {select(a[1] > 0, a[0], a[2] * a[0]).v,
                                 select(a[1] > 0, 0, a[1] * a[0]).v};
  c.finish(results);
}

// The second output is a buffer for the gradient, which other devices than a CPU leave empty.
void lower_log_sigmoid_forward(OpContext& c) {
  Expr x = load_next(c, 1, Rule::real_wide)[0];
  Expr z = exp_of(-magnitude(x));
  Expr result = minimum(x, 0) - log1p_of(z);
  const auto& outs = c.outputs();
  if (outs.size() != 2 || !outs[0]) return c.fail(invalid("writes a result and a buffer"));
  c.write(*outs[0], result.v);
  if (outs[1] && c.output_shape(1).numel() > 0) c.write(*outs[1], z.v);
}

void lower_log_sigmoid_backward(OpContext& c) {  // grad, self, buffer (unused: exp is cheap)
  auto a = load_next(c, 2, Rule::real_wide);
  Expr z = exp_of(-magnitude(a[1]));
  Expr part = z / (z + 1.0);
  c.finish((a[0] * select(a[1] < 0, 1.0 - part, part)).v);
}

// The two halves of x along an axis.
std::pair<Expr, Expr> halves(Expr x, int axis) {
  Shape sizes = x.shape(), start = Shape::filled(x.rank(), 0), step = Shape::filled(x.rank(), 1);
  sizes[axis] /= 2;
  Expr first{x.b, x.b->slice(x.v, start, step, sizes)};
  start[axis] = sizes[axis];
  return {first, {x.b, x.b->slice(x.v, start, step, sizes)}};
}

void lower_glu(OpContext& c) {  // self, dim
  Expr x = load_next(c, 1, Rule::real_wide)[0];
  const int axis = axis_of(c, c.args.integer_or(-1), x.rank());
  if (x.rank() == 0) return c.fail(invalid("needs a tensor of one dimension or more"));
  auto [a, gate] = halves(x, axis);
  c.finish((a * sigmoid_of(gate)).v);
}

void lower_glu_backward(OpContext& c) {  // grad, self, dim
  std::vector<Operand> operands = next_operands(c, 2);
  const int axis = axis_of(c, c.args.integer_or(-1), operands[1].shape.rank());
  DType t = compute_type(operands[1].dtype);
  Expr g = as(c, operands[0], t, operands[0].shape), x = as(c, operands[1], t, operands[1].shape);
  if (x.rank() == 0) return c.fail(invalid("needs a tensor of one dimension or more"));
  auto [a, gate] = halves(x, axis);
  Expr s = sigmoid_of(gate);
  const ir::ValueId parts[] = {(g * s).v, (g * s * (1.0 - s) * a).v};
  c.finish(c.b.concat(parts, axis));
}

constexpr OpRow kRows[] = {
    {"gelu", kFloats, lower_gelu},
    {"gelu_backward", kFloats, lower_gelu_backward},
    {"threshold", kNumbers, lower_threshold},
    {"threshold_backward", kNumbers, lower_threshold_backward},
    {"leaky_relu", kFloats, lower_leaky_relu},
    {"leaky_relu_backward", kFloats, lower_leaky_relu_backward},
    {"elu", kFloats, lower_elu},
    {"celu", kFloats, lower_celu},
    {"elu_backward", kFloats, lower_elu_backward},
    {"hardtanh", kNumbers, lower_hardtanh},
    {"hardtanh_backward", kFloats, lower_hardtanh_backward},
    {"softplus", kFloats, lower_softplus},
    {"softplus_backward", kFloats, lower_softplus_backward},
    {"hardshrink", kFloats, lower_hardshrink},
    {"hardshrink_backward", kFloats, lower_shrink_backward},
    {"softshrink", kFloats, lower_softshrink},
    {"softshrink_backward", kFloats, lower_shrink_backward},
    {"_prelu_kernel_backward", kFloats, lower_prelu_backward},
    {"log_sigmoid_forward", kFloats, lower_log_sigmoid_forward},
    {"log_sigmoid_backward", kFloats, lower_log_sigmoid_backward},
    {"glu", kFloats, lower_glu},
    {"glu_backward", kFloats, lower_glu_backward},
};

}  // namespace

std::span<const OpRow> activation_ops() { return kRows; }

}  // namespace moai::lower
