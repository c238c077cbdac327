// The fused LSTM and GRU cells that PyTorch issues on a cuda device: pointwise over the gates. What
// the workspaces hold is our own choice: the backward here is their only reader.
#include <vector>

#include "src/lower/operands.h"

namespace moai::lower {
namespace {

// Columns [i * n, (i + 1) * n) of a [rows, k * n] value.
Expr column_block(Expr x, int64_t i, int64_t n) {
  Shape start = {0, i * n}, step = {1, 1}, sizes = {x.shape()[0], n};
  return {x.b, x.b->slice(x.v, start, step, sizes)};
}
// Blocks of columns, each rounded to the dtype of the output before they are joined: a reader of
// one block then needs nothing of the others.
Expr join(OpContext& c, size_t output, std::initializer_list<Expr> parts) {
  const DType dtype = c.output_dtype(output);
  std::vector<ir::ValueId> values;
  for (const Expr& p : parts) values.push_back(p.to(dtype).v);
  return {&c.b, c.b.concat(values, 1)};
}
// Over the rows, of what was rounded, as PyTorch does.
Expr bias_grad(Expr gates_grad, DType wide) { return sum_of(gates_grad.to(wide), {0}); }
// Gates with their biases, [rows, k * n].
Expr gates(OpContext& c, Expr x, const std::optional<Expr>& bias) {
  if (!bias || !c.b.status().ok()) return x;
  return x + bias->to(x.dtype()).broadcast_to(x.shape());
}
bool is_matrix(OpContext& c, Expr x, int64_t blocks) {
  if (c.b.status().ok() && x.rank() == 2 && x.shape()[1] % blocks == 0) return true;
  c.fail(invalid("[" + std::string(c.name()) + "] the gates are no matrix of " +
                 std::to_string(blocks) + " blocks"));
  return false;
}

// input gates, hidden gates, cx, input bias, hidden bias -> hy, cy, workspace (i f g o, activated)
void lower_lstm_cell(OpContext& c) {
  Expr gi = wide_next(c), gh = wide_next(c), cx = wide_next(c);
  auto bi = wide_next_optional(c), bh = wide_next_optional(c);
  if (!is_matrix(c, gi, 4)) return;
  Expr all = gates(c, gi, bi) + gates(c, gh, bh);
  int64_t n = all.shape()[1] / 4;
  Expr i = sigmoid_of(column_block(all, 0, n)), f = sigmoid_of(column_block(all, 1, n));
  Expr g = tanh_of(column_block(all, 2, n)), o = sigmoid_of(column_block(all, 3, n));
  Expr cy = f * cx + i * g;
  c.put(0, (o * tanh_of(cy)).v), c.put(1, cy.v), c.put(2, join(c, 2, {i, f, g, o}).v);
}

// grad hy, grad cy, cx, cy, workspace, has_bias -> grad gates, grad cx, grad bias
void lower_lstm_cell_backward(OpContext& c) {
  auto ghy = wide_next_optional(c), gcy = wide_next_optional(c);
  Expr cx = wide_next(c), cy = wide_next(c), w = wide_next(c);
  if (!is_matrix(c, w, 4)) return;
  int64_t n = w.shape()[1] / 4;
  Expr i = column_block(w, 0, n), f = column_block(w, 1, n), g = column_block(w, 2, n),
       o = column_block(w, 3, n);
  Expr t = tanh_of(cy), zero = cx.constant(0);
  Expr dh = ghy ? *ghy : zero;
  Expr dc = dh * o * (1.0 - t * t) + (gcy ? *gcy : zero);
  Expr gates_grad = join(c, 0,
                         {dc * g * i * (1.0 - i), dc * cx * f * (1.0 - f), dc * i * (1.0 - g * g),
                          dh * t * o * (1.0 - o)});
  c.put(0, gates_grad.v), c.put(1, (dc * f).v), c.put(2, bias_grad(gates_grad, w.dtype()).v);
}

// input gates, hidden gates, hx, input bias, hidden bias -> hy, workspace (r z n hx and the hidden
// n gate)
void lower_gru_cell(OpContext& c) {
  Expr gi = wide_next(c), gh = wide_next(c), hx = wide_next(c);
  auto bi = wide_next_optional(c), bh = wide_next_optional(c);
  if (!is_matrix(c, gi, 3)) return;
  gi = gates(c, gi, bi), gh = gates(c, gh, bh);
  int64_t m = gi.shape()[1] / 3;
  Expr r = sigmoid_of(column_block(gi, 0, m) + column_block(gh, 0, m));
  Expr z = sigmoid_of(column_block(gi, 1, m) + column_block(gh, 1, m));
  Expr hn = column_block(gh, 2, m);
  Expr n = tanh_of(column_block(gi, 2, m) + r * hn);
  c.put(0, (n + z * (hx - n)).v), c.put(1, join(c, 1, {r, z, n, hx, hn}).v);
}

// grad hy, workspace, has_bias -> grad input gates, grad hidden gates, grad hx, grad input and
// hidden bias
void lower_gru_cell_backward(OpContext& c) {
  Expr g = wide_next(c), w = wide_next(c);
  if (!is_matrix(c, w, 5)) return;
  int64_t m = w.shape()[1] / 5;
  Expr r = column_block(w, 0, m), z = column_block(w, 1, m), n = column_block(w, 2, m);
  Expr hx = column_block(w, 3, m), hn = column_block(w, 4, m);
  Expr dz = g * (hx - n) * z * (1.0 - z);
  Expr dn = g * (1.0 - z) * (1.0 - n * n);
  Expr dr = dn * hn * r * (1.0 - r);
  Expr input = join(c, 0, {dr, dz, dn}), hidden = join(c, 1, {dr, dz, dn * r});
  c.put(0, input.v), c.put(1, hidden.v), c.put(2, (g * z).v);
  c.put(3, bias_grad(input, w.dtype()).v), c.put(4, bias_grad(hidden, w.dtype()).v);
}

constexpr OpRow kRows[] = {
    {"_thnn_fused_lstm_cell", kFloats, lower_lstm_cell},
    {"_thnn_fused_lstm_cell_backward_impl", kFloats, lower_lstm_cell_backward},
    {"_thnn_fused_gru_cell", kFloats, lower_gru_cell},
    {"_thnn_fused_gru_cell_backward", kFloats, lower_gru_cell_backward},
};

}  // namespace

std::span<const OpRow> recurrent_ops() { return kRows; }

}  // namespace moai::lower
