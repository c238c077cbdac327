// Softmax and the norms, computed in f32 for f16 and bf16 and rounded once. Written as reductions
// over the normalized axes, broadcast back, so that fusion makes row programs of them.
#include <limits>

#include "src/lower/operands.h"

namespace moai::lower {
namespace {

Expr number(OpContext& c, DType dtype, const Shape& shape) {
  auto s = c.args.scalar();
  return {&c.b, s ? c.scalar(*s, dtype, shape) : c.b.constant(0, dtype, shape)};
}
Expr sum_keep(Expr x, const Shape& axes) {
  return {x.b, x.b->broadcast_to(x.b->reduce_keep(ReduceKind::sum, x.v, axes), x.shape())};
}
Expr mean_keep(Expr x, const Shape& axes) {  // size 1 along the axes
  double n = 1;
  for (int64_t a : axes) n *= static_cast<double>(x.shape()[static_cast<int>(a)]);
  Expr s{x.b, x.b->reduce_keep(ReduceKind::sum, x.v, axes)};
  return s * (1.0 / n);
}

struct Row {
  Expr x, shifted, sum;  // x - max, and the sum of exp of it, broadcast
  Expr max;
};
Row softmax_row(OpContext& c, Expr x, int axis) {
  Shape axes = {axis};
  Expr max{&c.b, c.b.broadcast_to(c.b.reduce_keep(ReduceKind::max, x.v, axes), x.shape())};
  Expr shifted = x - max;
  return {x, shifted, sum_keep(exp_of(shifted), axes), max};
}

enum class Softmax { plain, log, safe };
template <Softmax kind>
void lower_softmax(OpContext& c) {  // self, dim, half_to_float (safe: dtype)
  Expr x = wide_next(c);
  bool is_scalar = x.rank() == 0;
  if (is_scalar) x = x.reshape({1});
  int axis = axis_of(c, c.args.integer_or(0), x.rank());
  if (!c.b.status().ok()) return;
  Row r = softmax_row(c, x, axis);
  Expr y = kind == Softmax::log ? r.shifted - log_of(r.sum) : exp_of(r.shifted) / r.sum;
  if (kind == Softmax::safe)
    y = select(equal(r.max, -std::numeric_limits<double>::infinity()), 0.0, y);
  c.finish((is_scalar ? y.reshape({}) : y).v);
}

template <bool is_log>
void lower_softmax_backward(OpContext& c) {  // grad, output, dim, input dtype
  Expr g = wide_next(c), y = wide_next(c);
  bool is_scalar = g.rank() == 0;
  if (is_scalar) g = g.reshape({1}), y = y.reshape({1});
  Shape axes = {axis_of(c, c.args.integer_or(0), g.rank())};
  if (!c.b.status().ok()) return;
  Expr d = g;
  if (is_log) {
    d = g - exp_of(y) * sum_keep(g, axes);
  } else {
    Expr gy = g * y;
    d = gy - y * sum_keep(gy, axes);
  }
  c.finish((is_scalar ? d.reshape({}) : d).v);
}

// Output i in the shape it has there: what is computed over rows or channels has as many elements.
void put_as_shown(OpContext& c, size_t i, ir::ValueId value) {
  if (c.wants(i) && c.b.status().ok()) c.put(i, c.b.reshape(value, c.output_shape(i)));
}

// [outer, inner]: the normalized dimensions as one.
Shape flat_rows(const Shape& s, int inner_rank) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < s.rank(); i++) (i < s.rank() - inner_rank ? outer : inner) *= s[i];
  return {outer, inner};
}

void lower_layer_norm(OpContext& c) {  // input, normalized_shape, weight, bias, eps
  Expr x = wide_next(c);
  auto normalized = c.args.integers();
  auto w = wide_next_optional(c), bias = wide_next_optional(c);
  if (!normalized) return c.fail(invalid("[native_layer_norm] normalized_shape is missing"));
  Shape rows = flat_rows(x.shape(), static_cast<int>(normalized->size()));
  x = x.reshape(rows);
  Shape axes = {1};
  Expr mean = mean_keep(x, axes);
  Expr d = x - mean.broadcast_to(rows);
  Expr var = mean_keep(d * d, axes);
  Expr rstd = inverse_root(var + number(c, x.dtype(), var.shape()));
  Expr y = d * rstd.broadcast_to(rows);
  if (w) y = y * w->to(x.dtype()).reshape({rows[1]}).broadcast_to(rows);
  if (bias) y = y + bias->to(x.dtype()).reshape({rows[1]}).broadcast_to(rows);
  put_as_shown(c, 0, y.v), put_as_shown(c, 1, mean.v), put_as_shown(c, 2, rstd.v);
}

void lower_layer_norm_backward(
    OpContext& c) {  // grad, input, normalized_shape, mean, rstd, weight, bias, mask
  Expr g = wide_next(c), x = wide_next(c);
  auto normalized = c.args.integers();
  Expr mean = wide_next(c), rstd = wide_next(c);
  auto w = wide_next_optional(c);
  if (!normalized || !c.b.status().ok())
    return c.fail(invalid("[native_layer_norm_backward] normalized_shape is missing"));
  Shape rows = flat_rows(x.shape(), static_cast<int>(normalized->size())), column = {rows[0], 1};
  g = g.reshape(rows), x = x.reshape(rows);
  rstd = rstd.to(x.dtype()).reshape(column).broadcast_to(rows);
  Expr xhat = (x - mean.to(x.dtype()).reshape(column).broadcast_to(rows)) * rstd;
  if (c.wants(0)) {
    Expr gw = w ? g * w->to(x.dtype()).reshape({rows[1]}).broadcast_to(rows) : g;
    Expr a = mean_keep(gw, {1}).broadcast_to(rows),
         b = mean_keep(gw * xhat, {1}).broadcast_to(rows);
    put_as_shown(c, 0, ((gw - a - xhat * b) * rstd).v);
  }
  if (c.wants(1)) put_as_shown(c, 1, sum_of(g * xhat, {0}).v);
  if (c.wants(2)) put_as_shown(c, 2, sum_of(g, {0}).v);
}

// Per-channel values of an [N, C, ...] tensor, as the tensor's shape.
Expr over_channels(Expr v, const Shape& shape) {
  Shape dims = {1};
  return {v.b, v.b->broadcast_in_dim(v.v, shape, dims)};
}
// [N, C, spatial as one].
Shape channels(const Shape& s) {
  int64_t spatial = 1;
  for (int i = 2; i < s.rank(); i++) spatial *= s[i];
  return {s[0], s[1], spatial};
}

// input, weight, bias, running_mean, running_var, training, momentum, eps. Outputs: result, mean,
// invstd, and in training the running statistics when they are there.
void lower_batch_norm(OpContext& c) {
  Expr x = wide_next(c);
  auto w = wide_next_optional(c), bias = wide_next_optional(c), old_mean = wide_next_optional(c),
       old_var = wide_next_optional(c);
  bool training = c.args.integer_or(0) != 0;
  if (x.rank() < 2) return c.fail(invalid("[native_batch_norm] the input has rank below 2"));
  Shape s = channels(x.shape()), axes = {0, 2}, per = {s[1]};
  x = x.reshape(s);
  Expr momentum = number(c, x.dtype(), per), eps = number(c, x.dtype(), per);
  if (!training && (!old_mean || !old_var))
    return c.fail(invalid("[native_batch_norm] evaluation needs the running statistics"));
  double n = static_cast<double>(s[0] * s[2]);
  Expr mean = training ? sum_of(x, axes) * (1.0 / n) : old_mean->to(x.dtype());
  Expr d = x - over_channels(mean, s);
  Expr var = training ? sum_of(d * d, axes) * (1.0 / n) : old_var->to(x.dtype());
  Expr invstd = inverse_root(var + eps);
  Expr scale = w ? invstd * w->to(x.dtype()) : invstd;
  Expr y = d * over_channels(scale, s);
  if (bias) y = y + over_channels(bias->to(x.dtype()), s);
  put_as_shown(c, 0, y.v);
  if (!training) return;
  put_as_shown(c, 1, mean.v), put_as_shown(c, 2, invstd.v);
  if (old_mean && c.wants(3))
    put_as_shown(c, 3, ((1.0 - momentum) * old_mean->to(x.dtype()) + momentum * mean).v);
  if (old_var && c.wants(4)) {
    Expr unbiased = var * (n > 1 ? n / (n - 1) : std::numeric_limits<double>::quiet_NaN());
    put_as_shown(c, 4, ((1.0 - momentum) * old_var->to(x.dtype()) + momentum * unbiased).v);
  }
}

// grad, input, weight, running_mean, running_var, save_mean, save_invstd, train, eps, mask
void lower_batch_norm_backward(OpContext& c) {
  Expr g = wide_next(c), x = wide_next(c);
  auto w = wide_next_optional(c), run_mean = wide_next_optional(c), run_var = wide_next_optional(c);
  auto mean = wide_next_optional(c), invstd = wide_next_optional(c);
  bool training = c.args.integer_or(0) != 0;
  if (x.rank() < 2)
    return c.fail(invalid("[native_batch_norm_backward] the input has rank below 2"));
  Shape s = channels(x.shape()), axes = {0, 2}, per = {s[1]};
  g = g.reshape(s), x = x.reshape(s);
  Expr eps = number(c, x.dtype(), per);
  if (!training && run_mean && run_var) {
    mean = *run_mean;
    invstd = inverse_root(run_var->to(x.dtype()) + eps);
  }
  if (!mean || !invstd)
    return c.fail(invalid("[native_batch_norm_backward] the statistics are missing"));
  Expr inv = invstd->to(x.dtype());
  Expr xhat = (x - over_channels(mean->to(x.dtype()), s)) * over_channels(inv, s);
  Expr sum_g = sum_of(g, axes), sum_gx = sum_of(g * xhat, axes);
  Expr scale = w ? inv * w->to(x.dtype()) : inv;
  if (c.wants(0)) {
    double n = static_cast<double>(s[0] * s[2]);
    Expr d = g;
    if (training)
      d = g - over_channels(sum_g * (1.0 / n), s) - xhat * over_channels(sum_gx * (1.0 / n), s);
    put_as_shown(c, 0, (d * over_channels(scale, s)).v);
  }
  if (c.wants(1)) put_as_shown(c, 1, sum_gx.v);
  if (c.wants(2)) put_as_shown(c, 2, sum_g.v);
}

struct Groups {
  int64_t n, c, inner, groups;
  Shape rows() const { return {n * groups, c / groups * inner}; }
  Shape channels() const { return {n, c, inner}; }
};
Groups read_groups(OpContext& c) {
  int64_t n = c.args.integer_or(0), channels = c.args.integer_or(0), inner = c.args.integer_or(0);
  int64_t groups = c.args.integer_or(1);
  if (groups < 1 || channels % groups != 0)
    c.fail(invalid("[native_group_norm] the channels do not divide into the groups")), groups = 1;
  return {n, channels, inner, groups};
}

void lower_group_norm(OpContext& c) {  // input, weight, bias, N, C, HxW, group, eps
  Expr x = wide_next(c);
  auto w = wide_next_optional(c), bias = wide_next_optional(c);
  Groups s = read_groups(c);
  if (!c.b.status().ok()) return;
  x = x.reshape(s.rows());
  Expr mean = mean_keep(x, {1}), d = x - mean.broadcast_to(s.rows());
  Expr var = mean_keep(d * d, {1});
  Expr rstd = inverse_root(var + number(c, x.dtype(), var.shape()));
  Expr y = (d * rstd.broadcast_to(s.rows())).reshape(s.channels());
  if (w) y = y * over_channels(w->to(x.dtype()), s.channels());
  if (bias) y = y + over_channels(bias->to(x.dtype()), s.channels());
  put_as_shown(c, 0, y.v), put_as_shown(c, 1, mean.v), put_as_shown(c, 2, rstd.v);
}

void lower_group_norm_backward(
    OpContext& c) {  // grad, input, mean, rstd, weight, N, C, HxW, group, mask
  Expr g = wide_next(c), x = wide_next(c), mean = wide_next(c), rstd = wide_next(c);
  auto w = wide_next_optional(c);
  Groups s = read_groups(c);
  if (!c.b.status().ok()) return;
  Shape rows = s.rows(), column = {rows[0], 1};
  Expr r = rstd.to(x.dtype()).reshape(column).broadcast_to(rows);
  Expr xhat = (x.reshape(rows) - mean.to(x.dtype()).reshape(column).broadcast_to(rows)) * r;
  Expr gc = g.reshape(s.channels()), xc = xhat.reshape(s.channels());
  if (c.wants(0)) {
    Expr gw = (w ? gc * over_channels(w->to(x.dtype()), s.channels()) : gc).reshape(rows);
    Expr a = mean_keep(gw, {1}).broadcast_to(rows),
         b = mean_keep(gw * xhat, {1}).broadcast_to(rows);
    put_as_shown(c, 0, ((gw - a - xhat * b) * r).v);
  }
  if (c.wants(1)) put_as_shown(c, 1, sum_of(gc * xc, {0, 2}).v);
  if (c.wants(2)) put_as_shown(c, 2, sum_of(gc, {0, 2}).v);
}

constexpr OpRow kRows[] = {
    {"_softmax", kFloats, lower_softmax<Softmax::plain>},
    {"_log_softmax", kFloats, lower_softmax<Softmax::log>},
    {"_safe_softmax", kFloats, lower_softmax<Softmax::safe>},
    {"_softmax_backward_data", kFloats, lower_softmax_backward<false>},
    {"_log_softmax_backward_data", kFloats, lower_softmax_backward<true>},
    {"native_layer_norm", kFloats, lower_layer_norm},
    {"native_layer_norm_backward", kFloats, lower_layer_norm_backward},
    {"native_batch_norm", kFloats, lower_batch_norm},
    {"native_batch_norm_backward", kFloats, lower_batch_norm_backward},
    {"native_group_norm", kFloats, lower_group_norm},
    {"native_group_norm_backward", kFloats, lower_group_norm_backward},
};

}  // namespace

std::span<const OpRow> norm_ops() { return kRows; }

}  // namespace moai::lower
