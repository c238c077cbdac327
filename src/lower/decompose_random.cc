// Random numbers: every element is a function of seed, offset and its own index, so that any split
// of the work draws the same. An op uses one 32-bit word an element, two where its result has 64
// bits.
#include <cmath>
#include <numbers>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// Uniform in [0, 1) in dtype; f32 draws serve everything but f64.
Expr uniform(OpContext& c, DType t, const Shape& shape) {
  auto [seed, offset] = c.rng();
  return {&c.b, c.b.rng_uniform(seed, offset, t, shape)};
}
DType draw_type(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

// Half the distance between two draws.
double half_step(DType t) { return t == DType::f64 ? 0x1p-54 : 0x1p-25; }

// Standard normal by the inverse of its distribution function. Draws sit at the middles of their
// intervals, so the ends stay finite.
Expr normal(OpContext& c, DType t, const Shape& shape) {
  Expr u = uniform(c, t, shape);
  Expr centred = (u * 2.0 - 1.0) + 2 * half_step(t);
  return erfinv_of(centred) * std::numbers::sqrt2;
}

// Standard exponential, never 0: it is divided by.
Expr exponential(OpContext& c, DType t, const Shape& shape) {
  return maximum(-log_of(1.0 - uniform(c, t, shape)), half_step(t));
}

// 32 random bits an element as i32, one word each.
Expr bits_32(OpContext& c, const Shape& shape) {
  auto [seed, offset] = c.rng();
  const int64_t n = shape.numel();
  ValueId pairs = c.b.rng_bits(seed, offset, {n / 2 + n % 2});
  ValueId words = c.b.bitcast(pairs, DType::i32);
  return {&c.b, c.b.reshape(c.b.slice(words, {0}, {1}, {n}), shape)};
}

Expr bits_64(OpContext& c, const Shape& shape) {
  auto [seed, offset] = c.rng();
  return {&c.b, c.b.rng_bits(seed, offset, shape)};
}

// Integers in [from, from + range); range 0: all 64 bits.
void finish_integers(OpContext& c, int64_t from, uint64_t range) {
  DType t = c.output_dtype();
  const Shape& shape = c.output_shape();
  Expr bits = size_of(t) == 8 ? bits_64(c, shape) : bits_32(c, shape).to(DType::i64);
  auto number = [&](int64_t v) { return Expr{&c.b, c.b.constant_int(v, DType::i64, shape)}; };
  if (range == 0) return c.finish(bits.v);
  Expr positive = both(bits, number(size_of(t) == 8 ? INT64_MAX : UINT32_MAX));
  if (range <= INT64_MAX) positive = remainder_of(positive, number(static_cast<int64_t>(range)));
  c.finish((positive + number(from)).v);
}

// Largest integer that random_() draws for a dtype: floats up to where they count exactly.
int64_t largest_of(DType t) {
  switch (t) {
    case DType::f64: return int64_t{1} << 53;
    case DType::f32: return int64_t{1} << 24;
    case DType::f16: return int64_t{1} << 11;
    case DType::bf16: return int64_t{1} << 8;
    case DType::i32: return INT32_MAX;
    case DType::i16: return INT16_MAX;
    case DType::i8: return INT8_MAX;
    case DType::u8: return UINT8_MAX;
    case DType::boolean: return 1;
    default: return INT64_MAX;
  }
}

void finish_range(OpContext& c, int64_t from, std::optional<int64_t> to) {
  const int64_t last = to ? *to - 1 : largest_of(c.output_dtype());
  if ((to && *to <= from) || last < from)
    return c.fail(invalid("draws from an empty range; the lower bound must be below the upper"));
  finish_integers(c, from, static_cast<uint64_t>(last) - static_cast<uint64_t>(from) + 1);
}

void lower_random(OpContext& c) { finish_range(c, 0, std::nullopt); }
void lower_random_from(OpContext& c) {  // self, from, to
  c.args.tensor();
  const int64_t from = c.args.integer_or(0);
  finish_range(c, from, c.args.integer());
}
void lower_random_to(OpContext& c) {  // self, to
  c.args.tensor();
  finish_range(c, 0, c.args.integer_or(0));
}
void lower_randint(OpContext& c) { finish_range(c, 0, c.args.integer_or(0)); }  // high, size
void lower_randint_low(OpContext& c) {                                          // low, high, size
  const int64_t low = c.args.integer_or(0);
  finish_range(c, low, c.args.integer_or(0));
}
void lower_randint_like(OpContext& c) {  // self, high
  c.args.tensor();
  lower_randint(c);
}
void lower_randint_like_low(OpContext& c) {  // self, low, high
  c.args.tensor();
  lower_randint_low(c);
}

void lower_rand(OpContext& c) { c.finish(uniform(c, c.output_dtype(), c.output_shape()).v); }
void lower_randn(OpContext& c) {
  c.finish(normal(c, draw_type(c.output_dtype()), c.output_shape()).v);
}

void lower_uniform(OpContext& c) {  // self, from, to
  c.args.tensor();
  DType t = c.output_dtype();
  const Shape& shape = c.output_shape();
  DType wide = compute_type(t);
  Expr from = as(c, next_number_or(c, 0), wide, shape),
       to = as(c, next_number_or(c, 1), wide, shape);
  c.finish((uniform(c, t, shape).to(wide) * (to - from) + from).v);
}

void finish_normal(OpContext& c, const Operand& mean, const Operand& deviation) {
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  c.finish((normal(c, t, shape) * as(c, deviation, t, shape) + as(c, mean, t, shape)).v);
}

void lower_normal_pair(OpContext& c) {  // mean, std
  Operand mean = next_number_or(c, 0);
  finish_normal(c, mean, next_number_or(c, 1));
}
void lower_normal(OpContext& c) {  // self, mean, std
  c.args.tensor();
  lower_normal_pair(c);
}

void lower_log_normal(OpContext& c) {  // self, mean, std
  c.args.tensor();
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  Expr mean = as(c, next_number_or(c, 1), t, shape),
       deviation = as(c, next_number_or(c, 2), t, shape);
  c.finish(exp_of(normal(c, t, shape) * deviation + mean).v);
}

void lower_cauchy(OpContext& c) {  // self, median, sigma
  c.args.tensor();
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  Expr median = as(c, next_number_or(c, 0), t, shape),
       sigma = as(c, next_number_or(c, 1), t, shape);
  Expr angle = (uniform(c, t, shape) - 0.5 + half_step(t)) * std::numbers::pi;
  c.finish((unary(Prim::tan, angle) * sigma + median).v);
}

void lower_exponential(OpContext& c) {  // self, lambda
  c.args.tensor();
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  Expr rate = as(c, next_number_or(c, 1), t, shape);
  c.finish((exponential(c, t, shape) / rate).v);
}

void lower_geometric(OpContext& c) {  // self, p
  c.args.tensor();
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  Expr p = as(c, next_operand(c), t, shape);
  c.finish(maximum(ceil_of(exponential(c, t, shape) / -log1p_of(-p)), 1).v);
}

void finish_bernoulli(OpContext& c, const Operand& p) {
  const Shape& shape = c.output_shape();
  DType t = draw_type(c.output_dtype());
  c.finish((uniform(c, t, shape) < as(c, p, t, shape)).v);
}
void lower_bernoulli(OpContext& c) { finish_bernoulli(c, next_operand(c)); }
void lower_bernoulli_p(OpContext& c) {  // self, p
  c.args.tensor();
  finish_bernoulli(c, next_number_or(c, 0.5));
}

void lower_dropout(OpContext& c) {  // input, p, train -> result, mask
  Operand input = next_operand(c), p = next_number_or(c, 0.5);
  const bool is_training = c.args.integer_or(1) != 0;
  DType t = compute_type(input.dtype);
  Expr x = as(c, input, t, input.shape);
  if (!is_training) {
    const ValueId same[] = {x.v, c.b.constant(1, DType::boolean, input.shape)};
    return c.finish(same);
  }
  Expr drop = as(c, p, draw_type(t), input.shape);
  Expr mask = uniform(c, draw_type(t), input.shape) >= drop;
  Expr scale = 1.0 / (1.0 - as(c, p, t, input.shape));
  const ValueId results[] = {select(mask, x * scale, 0).v, mask.v};
  c.finish(results);
}

void lower_dropout_backward(OpContext& c) {  // grad, mask, scale
  Operand grad = next_operand(c), mask = next_operand(c), scale = next_operand(c);
  DType t = compute_type(grad.dtype);
  Expr g = as(c, grad, t, grad.shape);
  Expr kept = as(c, mask, DType::boolean, grad.shape);
  c.finish(select(kept, g * as(c, scale, t, grad.shape), 0).v);
}

// The order of random keys; equal keys keep their order.
void lower_randperm(OpContext& c) {
  const Shape& shape = c.output_shape();
  if (shape.rank() != 1) return c.fail(invalid("the output of a permutation has one dimension"));
  Expr keys = size_of(c.output_dtype()) == 8 ? bits_64(c, shape) : bits_32(c, shape);
  c.finish(c.b.sort(keys.v, 0, false).second);
}

// Draws with replacement: how many partial sums a uniform draw of the total has passed.
Expr pick(OpContext& c, Expr weights, int64_t samples) {
  const int axis = weights.rank() - 1;
  const int64_t k = weights.shape()[axis];
  Shape drawn = weights.shape(), pairs = weights.shape();
  drawn[axis] = samples;
  pairs[axis] = samples;
  pairs.push_back(k);
  Expr sums{&c.b, c.b.scan(ReduceKind::sum, weights.v, axis)};
  Shape start = Shape::filled(axis + 1, 0), last = weights.shape();
  start[axis] = k - 1;
  last[axis] = 1;
  Expr total{&c.b, c.b.slice(sums.v, start, Shape::filled(axis + 1, 1), last)};
  Expr at = uniform(c, weights.dtype(), drawn) * total.broadcast_to(drawn);
  Shape rows, with_samples, with_weights;
  for (int i = 0; i < axis; i++) rows.push_back(i);
  with_samples = with_weights = rows;
  with_samples.push_back(axis);
  with_weights.push_back(axis + 1);
  Expr passed{&c.b, c.b.broadcast_in_dim(sums.v, pairs, with_weights)};
  Expr point{&c.b, c.b.broadcast_in_dim(at.v, pairs, with_samples)};
  Expr count = sum_of((passed <= point).to(DType::i64), {axis + 1});
  return minimum(count, static_cast<double>(k - 1));
}

// Without replacement: the first arrivals of a race of exponential clocks.
void lower_multinomial(OpContext& c) {  // self, samples, replacement
  Operand self = next_operand(c);
  const int64_t samples = c.args.integer_or(1);
  const bool with_replacement = c.has_more() && c.args.integer_or(0) != 0;
  const int rank = self.shape.rank();
  if (rank < 1 || rank > 2 || self.shape.back() < 1)
    return c.fail(invalid("takes weights of one or two dimensions, at least one a row"));
  Expr weights = as(c, self, draw_type(self.dtype), self.shape);
  if (with_replacement || samples == 1) return c.finish(pick(c, weights, samples).v);
  Expr speed = weights / exponential(c, weights.dtype(), self.shape);
  c.finish(c.b.topk(speed.v, rank - 1, samples, true).second);
}

constexpr OpRow kRows[] = {
    {"rand", kAll, lower_rand},
    {"rand.generator", kAll, lower_rand},
    {"rand_like", kAll, lower_rand},
    {"randn", kAll, lower_randn},
    {"randn.generator", kAll, lower_randn},
    {"randn_like", kAll, lower_randn},
    {"uniform", kFloats, lower_uniform},
    {"uniform_", kFloats, lower_uniform},
    {"normal", kFloats, lower_normal},
    {"normal_", kFloats, lower_normal},
    {"normal_functional", kFloats, lower_normal},
    {"normal.Tensor_float", kFloats, lower_normal_pair},
    {"normal.float_Tensor", kFloats, lower_normal_pair},
    {"normal.Tensor_Tensor", kFloats, lower_normal_pair},
    {"normal.float_float", kAll, lower_normal_pair},
    {"log_normal", kFloats, lower_log_normal},
    {"log_normal_", kFloats, lower_log_normal},
    {"cauchy", kFloats, lower_cauchy},
    {"cauchy_", kFloats, lower_cauchy},
    {"exponential", kFloats, lower_exponential},
    {"exponential_", kFloats, lower_exponential},
    {"geometric", kNumbers, lower_geometric},
    {"geometric_", kNumbers, lower_geometric},
    {"bernoulli", kFloats, lower_bernoulli},
    {"bernoulli.p", kAll, lower_bernoulli_p},
    {"bernoulli.Tensor", kAll, lower_bernoulli_p},
    {"bernoulli_.float", kAll, lower_bernoulli_p},
    {"bernoulli_.Tensor", kAll, lower_bernoulli_p},
    {"random", kAll, lower_random},
    {"random_", kAll, lower_random},
    {"random.from", kAll, lower_random_from},
    {"random_.from", kAll, lower_random_from},
    {"random.to", kAll, lower_random_to},
    {"random_.to", kAll, lower_random_to},
    {"randint", kAll, lower_randint},
    {"randint.generator", kAll, lower_randint},
    {"randint.low", kAll, lower_randint_low},
    {"randint.low_generator", kAll, lower_randint_low},
    {"randint_like", kAll, lower_randint_like},
    {"randint_like.low_dtype", kAll, lower_randint_like_low},
    {"randperm", kAll, lower_randperm},
    {"randperm.generator", kAll, lower_randperm},
    {"multinomial", kFloats, lower_multinomial},
    {"native_dropout", kFloats, lower_dropout},
    {"native_dropout_backward", kFloats, lower_dropout_backward},
};

}  // namespace

std::span<const OpRow> random_ops() { return kRows; }

}  // namespace moai::lower
