// Scaled dot-product attention, kept whole for the device in f32 and narrower; in f64 and for the
// gradient of a bias it is written out: scores, softmax, products.
#include <cmath>
#include <limits>
#include <tuple>

#include "src/lower/operands.h"

namespace moai::lower {
namespace {

struct Attention {
  ir::ValueId q, k, v;
  std::optional<ir::ValueId> bias;
  SdpaAttrs attrs;
  ir::ValueId key = ir::ValueId::none, offset = ir::ValueId::none;  // of the dropout mask
};

// A structural number: the client sends scale and dropout so, because they choose the kernel.
double number_or(OpContext& c, double fallback) {
  if (!c.has_more()) return fallback;
  auto s = c.args.scalar();
  if (!s) return fallback;
  if (s->is_lifted)
    c.fail(
        invalid("scale and dropout choose the kernel, so they are part of the segment; use a "
                "client of the server's version"));
  return s->kind == wire::ScalarArg::Kind::real ? s->f : static_cast<double>(s->i);
}

Expr batched_dot(OpContext& c, Expr a, Expr b, int contract_a, int contract_b) {
  DotAttrs d;
  d.batch_a = d.batch_b = {0, 1};
  d.contract_a = {contract_a};
  d.contract_b = {contract_b};
  return {&c.b, c.b.dot(a.v, b.v, d)};
}

// Keys or values of every query head, [B, H, K, E].
Expr per_head(OpContext& c, ir::ValueId x, int64_t heads) {
  const Shape s = c.b.shape(x);
  if (s[1] == heads) return {&c.b, x};
  Shape wide = {s[0], s[1], heads / s[1], s[2], s[3]}, dims = {0, 1, 3, 4};
  Expr e{&c.b, c.b.broadcast_in_dim(x, wide, dims)};
  return e.reshape({s[0], heads, s[2], s[3]});
}

// scale * q k' + bias, masked: [B, H, Q, K].
Expr scores(OpContext& c, const Attention& a) {
  Expr q{&c.b, a.q}, k = per_head(c, a.k, q.shape()[1]);
  Expr s = batched_dot(c, q, k, 3, 3) * a.attrs.scale;
  if (a.bias) s = s + Expr{&c.b, *a.bias}.to(s.dtype()).broadcast_to(s.shape());
  if (!a.attrs.causal) return s;
  Expr row{&c.b, c.b.iota(2, DType::i64, s.shape())},
      column{&c.b, c.b.iota(3, DType::i64, s.shape())};
  return select(column <= row, s, -std::numeric_limits<double>::infinity());
}
Expr softmax_last(OpContext& c, Expr s) {
  Shape axes = {3};
  Expr max{&c.b, c.b.broadcast_to(c.b.reduce_keep(ReduceKind::max, s.v, axes), s.shape())};
  Expr e = exp_of(s - max);
  return e / Expr{&c.b, c.b.broadcast_to(c.b.reduce_keep(ReduceKind::sum, e.v, axes), s.shape())};
}
// The dropout mask over 1 - p, or nothing.
std::optional<Expr> dropout_mask(OpContext& c, const Attention& a, Expr p) {
  if (a.attrs.dropout <= 0) return std::nullopt;
  Expr u{&c.b, c.b.rng_uniform(a.key, a.offset, DType::f32, p.shape())};
  return (u >= a.attrs.dropout).to(p.dtype()) * (1.0 / (1.0 - a.attrs.dropout));
}

std::vector<ir::ValueId> operands_of(const Attention& a, std::vector<ir::ValueId> front) {
  front.insert(front.end(), {a.q, a.k, a.v});
  return front;
}
void add_tail(const Attention& a, std::vector<ir::ValueId>& operands) {
  if (a.bias) operands.push_back(*a.bias);
  if (a.attrs.dropout > 0) operands.insert(operands.end(), {a.key, a.offset});
}
bool check(OpContext& c, const Attention& a) {
  if (!c.b.status().ok()) return false;
  if (c.b.shape(a.q).rank() == 4 && c.b.shape(a.k).rank() == 4 && c.b.shape(a.v).rank() == 4)
    return true;
  c.fail(invalid("[sdpa] query, key and value must have rank 4"));
  return false;
}
double default_scale(OpContext& c, const Attention& a) {
  return 1.0 / std::sqrt(static_cast<double>(c.b.shape(a.q)[3]));
}

// query, key, value, bias, dropout, causal, debug, scale, rng -> output, logsumexp, ..., seed (6),
// offset (7)
void lower_forward(OpContext& c) {
  Attention a{c.read_next(), c.read_next(), c.read_next(), c.read_next_optional(), {}};
  a.attrs.dropout = number_or(c, 0);
  a.attrs.causal = c.args.integer_or(0) != 0;
  c.args.integer();
  if (!check(c, a)) return;
  a.attrs.scale = number_or(c, default_scale(c, a));
  a.attrs.has_bias = a.bias.has_value();
  if (c.args.peek() == wire::Tag::rng)
    std::tie(a.key, a.offset) = c.rng();
  else if (a.attrs.dropout > 0)
    return c.fail(invalid("[sdpa] dropout without a generator"));
  if (a.key != ir::ValueId::none) c.put(6, a.key), c.put(7, a.offset);
  if (c.b.dtype(a.q) != DType::f64) {
    auto operands = operands_of(a, {});
    add_tail(a, operands);
    auto [o, lse] = c.b.sdpa(operands, a.attrs);
    return c.put(0, o), c.put(1, lse);
  }
  Expr p = softmax_last(c, scores(c, a));
  if (auto mask = dropout_mask(c, a, p)) p = p * *mask;
  Expr o = batched_dot(c, p, per_head(c, a.v, p.shape()[1]), 3, 2);
  c.put(0, o.v);
  if (c.wants(1))
    c.put(1, c.b.constant(0, c.output_dtype(1), c.output_shape(1)));  // its backward recomputes
}

// Sums the heads of a group: [B, H, K, E] -> [B, G, K, E].
ir::ValueId sum_groups(Expr x, int64_t groups) {
  const Shape s = x.shape();
  if (s[1] == groups) return x.v;
  return sum_of(x.reshape({s[0], groups, s[1] / groups, s[2], s[3]}), {2}).v;
}

// Gradient of the scores, and what follows from it where the device's kernel does not say.
void written_out(OpContext& c, const Attention& a, ir::ValueId grad, bool all) {
  Expr g{&c.b, grad}, q{&c.b, a.q};
  DType t = compute_type(g.dtype());
  Attention w = a;
  w.q = c.b.convert(a.q, t), w.k = c.b.convert(a.k, t), w.v = c.b.convert(a.v, t);
  g = g.to(t), q = Expr{&c.b, w.q};
  int64_t heads = q.shape()[1], groups = c.b.shape(w.k)[1];
  Expr p = softmax_last(c, scores(c, w)), dropped = p;
  Expr dp = batched_dot(c, g, per_head(c, w.v, heads), 3, 3);
  if (auto mask = dropout_mask(c, a, p)) dropped = p * *mask, dp = dp * *mask;
  Shape axes = {3};
  Expr row{&c.b, c.b.broadcast_to(c.b.reduce_keep(ReduceKind::sum, (dp * p).v, axes), p.shape())};
  Expr ds = p * (dp - row);
  if (all) {
    c.put(0, (batched_dot(c, ds, per_head(c, w.k, heads), 3, 2) * a.attrs.scale).v);
    c.put(1, sum_groups(batched_dot(c, ds, q, 2, 2) * a.attrs.scale, groups));
    c.put(2, sum_groups(batched_dot(c, dropped, g, 2, 2), groups));
  }
  if (!c.wants(3)) return;
  // The bias may be broadcast: sum over what it does not have.
  const Shape bias = c.output_shape(3), full = ds.shape();
  Shape missing;
  int lead = full.rank() - bias.rank();
  for (int i = 0; i < full.rank(); i++)
    if (i < lead || (bias[i - lead] == 1 && full[i] != 1)) missing.push_back(i);
  c.put(3, c.b.reshape(missing.empty() ? ds.v : c.b.reduce(ReduceKind::sum, ds.v, missing), bias));
}

// grad, query, key, value, bias, mask, out, logsumexp, cum_q, cum_k, max_q, max_k, dropout, causal,
// seed, offset, scale
void lower_backward(OpContext& c) {
  ir::ValueId grad = c.read_next();
  Attention a{c.read_next(), c.read_next(), c.read_next(), c.read_next_optional(), {}};
  c.args.integers();
  ir::ValueId out = c.read_next(), lse = c.read_next();
  c.args.tensor(), c.args.tensor();
  c.args.integer(), c.args.integer();
  a.attrs.dropout = number_or(c, 0);
  a.attrs.causal = c.args.integer_or(0) != 0;
  auto seed = c.read_next_optional(), offset = c.read_next_optional();
  if (!check(c, a)) return;
  a.attrs.scale = number_or(c, default_scale(c, a));
  a.attrs.has_bias = a.bias.has_value();
  if (a.attrs.dropout > 0) {
    if (!seed || !offset) return c.fail(invalid("[sdpa_bwd] dropout without seed and offset"));
    a.key = c.b.reshape(*seed, {}), a.offset = c.b.reshape(*offset, {});
  }
  bool is_wide = c.b.dtype(a.q) == DType::f64;
  if (is_wide || c.wants(3)) written_out(c, a, grad, is_wide);
  if (is_wide) return;
  auto operands = operands_of(a, {grad});
  operands.insert(operands.end(), {out, lse});
  add_tail(a, operands);
  auto d = c.b.sdpa_bwd(operands, a.attrs);
  for (size_t i = 0; i < 3; i++) c.put(i, d[i]);
}

constexpr OpRow kRows[] = {
    {"_scaled_dot_product_fused_attention_overrideable", kFloats, lower_forward},
    {"_scaled_dot_product_fused_attention_overrideable_backward", kFloats, lower_backward},
};

}  // namespace

std::span<const OpRow> attention_ops() { return kRows; }

}  // namespace moai::lower
