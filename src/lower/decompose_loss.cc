// Losses and their gradients. Computed in f32 for f16 and bf16, rounded once.
#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

enum class Reduction : int64_t { none, mean, sum };

Reduction next_reduction(OpContext& c) {
  const int64_t r = c.has_more() ? c.args.integer_or(1) : 1;
  if (r < 0 || r > 2) c.fail(invalid("reduction must be 0 (none), 1 (mean) or 2 (sum)"));
  return static_cast<Reduction>(r);
}

Shape all_axes(const Shape& s) {
  Shape axes;
  for (int i = 0; i < s.rank(); i++) axes.push_back(i);
  return axes;
}

Expr reduced(Expr x, Reduction r) {
  if (r == Reduction::none) return x;
  const auto n = static_cast<double>(x.shape().numel());
  Expr sum = sum_of(x, all_axes(x.shape()));
  return r == Reduction::mean ? sum / n : sum;
}

// The gradient of each element, from that of the reduced loss.
Expr shared(Expr gradient, Reduction r) {
  if (r != Reduction::mean) return gradient;
  return gradient / static_cast<double>(gradient.shape().numel());
}

Expr number(OpContext& c, Expr like, double fallback) {
  Operand o =
      c.has_more() ? next_number_or(c, fallback) : operand_of(wire::ScalarArg{.f = fallback});
  return as(c, o, like.dtype(), like.shape());
}

void lower_mse(OpContext& c) {  // self, target, reduction
  auto a = load_next(c, 2, Rule::real_wide);
  Expr d = a[0] - a[1];
  c.finish(reduced(d * d, next_reduction(c)).v);
}

void lower_mse_backward(OpContext& c) {  // grad, self, target, reduction
  auto a = load_next(c, 3, Rule::real_wide);
  c.finish((shared(a[0], next_reduction(c)) * 2.0 * (a[1] - a[2])).v);
}

void lower_smooth_l1(OpContext& c) {  // self, target, reduction, beta
  auto a = load_next(c, 2, Rule::real_wide);
  const Reduction r = next_reduction(c);
  Expr z = magnitude(a[0] - a[1]), beta = number(c, z, 1);
  c.finish(reduced(select(z < beta, z * z * 0.5 / beta, z - beta * 0.5), r).v);
}

void lower_smooth_l1_backward(OpContext& c) {  // grad, self, target, reduction, beta
  auto a = load_next(c, 3, Rule::real_wide);
  Expr g = shared(a[0], next_reduction(c)), d = a[1] - a[2], beta = number(c, d, 1);
  c.finish(select(d <= -beta, -g, select(d >= beta, g, g * d / beta)).v);
}

void lower_huber(OpContext& c) {  // self, target, reduction, delta
  auto a = load_next(c, 2, Rule::real_wide);
  const Reduction r = next_reduction(c);
  Expr z = magnitude(a[0] - a[1]), delta = number(c, z, 1);
  c.finish(reduced(select(z <= delta, z * z * 0.5, delta * (z - delta * 0.5)), r).v);
}

void lower_huber_backward(OpContext& c) {  // grad, self, target, reduction, delta
  auto a = load_next(c, 3, Rule::real_wide);
  Expr g = shared(a[0], next_reduction(c)), d = a[1] - a[2], delta = number(c, d, 1);
  c.finish((g * maximum(minimum(d, delta), -delta)).v);
}

// Tensors loaded together although some of them may be None; at[i]: where tensor i is in values, or
// -1.
struct Loaded {
  std::vector<Expr> values;
  std::vector<int> at;
  bool has(size_t i) const { return at[i] >= 0; }
  Expr operator[](size_t i) const { return values[static_cast<size_t>(at[i])]; }
};

Loaded load_some(OpContext& c, int required, int optional) {
  Loaded l;
  std::vector<Operand> operands;
  for (int i = 0; i < required + optional; i++) {
    std::optional<Operand> o;
    if (i < required)
      o = next_operand(c);
    else if (c.has_more())
      o = next_operand_optional(c);
    l.at.push_back(o ? static_cast<int>(operands.size()) : -1);
    if (o) operands.push_back(*o);
  }
  l.values = load(c, operands, Rule::real_wide);
  return l;
}

// Logarithms stop at -100, so that a wrong certain answer costs a finite loss.
void lower_bce(OpContext& c) {  // self, target, weight, reduction
  Loaded a = load_some(c, 2, 1);
  Expr x = a[0], t = a[1];
  Expr loss = (t - 1.0) * maximum(log1p_of(-x), -100) - t * maximum(log_of(x), -100);
  if (a.has(2)) loss = loss * a[2];
  c.finish(reduced(loss, next_reduction(c)).v);
}

void lower_bce_backward(OpContext& c) {  // grad, self, target, weight, reduction
  Loaded a = load_some(c, 3, 1);
  Expr x = a[1];
  Expr g = shared(a[0], next_reduction(c)) * (x - a[2]) / maximum((1.0 - x) * x, 1e-12);
  c.finish((a.has(3) ? g * a[3] : g).v);
}

void lower_bce_logits(OpContext& c) {  // self, target, weight, pos_weight, reduction
  Loaded a = load_some(c, 2, 2);
  Expr x = a[0], t = a[1];
  Expr soft = log1p_of(exp_of(-magnitude(x))) - minimum(x, 0);  // log(1 + exp(-x))
  if (a.has(3)) soft = soft * ((a[3] - 1.0) * t + 1.0);
  Expr loss = (1.0 - t) * x + soft;
  if (a.has(2)) loss = loss * a[2];
  c.finish(reduced(loss, next_reduction(c)).v);
}

// The classes of a likelihood loss along `axis`; per element, with size 1 there: class, whether it
// counts and its weight.
struct Classes {
  Shape shape;  // of the scores; a single sample has become a batch of one
  int axis = 1;
  Expr target, counts, weight;
};

Classes classes_of(OpContext& c, const Shape& scores, Expr target, std::optional<ValueId> weight,
                   int64_t ignored, DType t) {
  Classes k;
  k.shape = scores;
  if (scores.rank() == 1) k.shape.insert(0, 1);
  if (k.shape.rank() < 2) c.fail(invalid("needs scores of one dimension or more"));
  Shape one = k.shape;
  one[1] = 1;
  target = target.to(DType::i64).reshape(one);
  k.counts = not_equal(target, Expr{&c.b, c.b.constant_int(ignored, DType::i64, one)});
  k.target = select(k.counts, target, 0);
  k.weight = weight ? Expr{&c.b, c.b.gather(*weight, k.target.v, 0)}.to(t)
                    : Expr{&c.b, c.b.constant(1, t, one)};
  k.weight = select(k.counts, k.weight, 0);
  return k;
}

void lower_nll(OpContext& c) {  // self, target, weight, reduction, ignore_index
  Expr x{&c.b, c.read_next()}, target{&c.b, c.read_next()};
  std::optional<ValueId> weight = c.read_next_optional();
  const Reduction r = next_reduction(c);
  const int64_t ignored = c.args.integer_or(-100);
  if (!c.b.status().ok()) return;
  const DType t = compute_type(x.dtype());
  Classes k = classes_of(c, x.shape(), target, weight, ignored, t);
  if (!c.b.status().ok()) return;
  Expr picked{&c.b, c.b.take_along(x.reshape(k.shape).v, k.target.v, k.axis)};
  Expr loss = select(k.counts, -(picked.to(t) * k.weight), 0);
  const Shape axes = all_axes(k.shape);
  Expr total = sum_of(k.weight, axes);
  if (r == Reduction::none)
    loss = loss.reshape(c.output_shape());
  else
    loss = sum_of(loss, axes);
  if (r == Reduction::mean) loss = loss / total;
  const ValueId results[] = {loss.v, total.v};
  c.finish(results);
}

void lower_nll_backward(
    OpContext& c) {  // grad, self, target, weight, reduction, ignore_index, total
  Expr g{&c.b, c.read_next()};
  c.args.tensor();
  Expr target{&c.b, c.read_next()};
  std::optional<ValueId> weight = c.read_next_optional();
  const Reduction r = next_reduction(c);
  const int64_t ignored = c.args.integer_or(-100);
  Expr total{&c.b, c.read_next()};
  if (!c.b.status().ok()) return;
  const Shape scores = c.output_shape();
  const DType t = compute_type(g.dtype());
  Classes k = classes_of(c, scores, target, weight, ignored, t);
  if (!c.b.status().ok()) return;
  const Shape one = k.target.shape();
  g = g.to(t);
  if (r == Reduction::mean) g = g / total.to(t).reshape(g.shape());
  g = r == Reduction::none ? g.reshape(one) : g.reshape({}).broadcast_to(one);
  Expr part = select(k.counts, -(g * k.weight), 0).broadcast_to(k.shape);
  Expr number{&c.b, c.b.iota(k.axis, DType::i64, k.shape)};
  c.finish(select(equal(number, k.target.broadcast_to(k.shape)), part, 0).reshape(scores).v);
}

constexpr OpRow kRows[] = {
    {"mse_loss", kFloats, lower_mse},
    {"mse_loss_backward", kFloats, lower_mse_backward},
    {"smooth_l1_loss", kFloats, lower_smooth_l1},
    {"smooth_l1_loss_backward", kFloats, lower_smooth_l1_backward},
    {"huber_loss", kFloats, lower_huber},
    {"huber_loss_backward", kFloats, lower_huber_backward},
    {"binary_cross_entropy", kFloats, lower_bce},
    {"binary_cross_entropy_backward", kFloats, lower_bce_backward},
    {"binary_cross_entropy_with_logits", kFloats, lower_bce_logits},
    {"nll_loss_forward", kFloats, lower_nll},
    {"nll_loss_backward", kFloats, lower_nll_backward},
    {"nll_loss2d_forward", kFloats, lower_nll},
    {"nll_loss2d_backward", kFloats, lower_nll_backward},
};

}  // namespace

std::span<const OpRow> loss_ops() { return kRows; }

}  // namespace moai::lower
