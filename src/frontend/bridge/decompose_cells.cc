// Recurrent cells and dropout, taken apart into other operators.
#include "src/frontend/bridge/decompose.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/chunk.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>

#include <tuple>

namespace moai::bridge {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

bool given(const Optional& t) { return t && t->defined(); }
Tensor plus(Tensor t, const Optional& bias) { return given(bias) ? at::add(t, *bias) : t; }
// d sigmoid and d tanh from their results.
Tensor sigmoid_slope(const Tensor& s) { return at::mul(s, at::rsub(s, 1)); }
Tensor tanh_slope(const Tensor& t) { return at::rsub(at::mul(t, t), 1); }

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                             const Tensor& cx, const Optional& input_bias,
                                             const Optional& hidden_bias) {
  Tensor gates = plus(plus(at::add(input_gates, hidden_gates), input_bias), hidden_bias);
  auto g = at::chunk(gates, 4, 1);
  Tensor in = at::sigmoid(g[0]), forget = at::sigmoid(g[1]), cell = at::tanh(g[2]),
         out = at::sigmoid(g[3]);
  Tensor cy = at::add(at::mul(forget, cx), at::mul(in, cell));
  return {at::mul(out, at::tanh(cy)), cy, at::cat({in, forget, cell, out}, 1)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const Optional& grad_hy,
                                                      const Optional& grad_cy, const Tensor& cx,
                                                      const Tensor& cy, const Tensor& workspace,
                                                      bool has_bias) {
  auto g = at::chunk(workspace, 4, 1);
  const Tensor &in = g[0], &forget = g[1], &cell = g[2], &out = g[3];
  Tensor tanh_cy = at::tanh(cy);
  Tensor grad_c = given(grad_cy) ? *grad_cy : at::zeros_like(cx);
  Tensor grad_out = at::zeros_like(cx);
  if (given(grad_hy)) {
    grad_c = at::add(grad_c, at::mul(at::mul(*grad_hy, out), tanh_slope(tanh_cy)));
    grad_out = at::mul(at::mul(*grad_hy, tanh_cy), sigmoid_slope(out));
  }
  Tensor grad_gates = at::cat({at::mul(at::mul(grad_c, cell), sigmoid_slope(in)),
                               at::mul(at::mul(grad_c, cx), sigmoid_slope(forget)),
                               at::mul(at::mul(grad_c, in), tanh_slope(cell)), grad_out},
                              1);
  return {grad_gates, at::mul(grad_c, forget),
          has_bias ? at::sum(grad_gates, {0}, false) : Tensor()};
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                    const Tensor& hx, const Optional& input_bias,
                                    const Optional& hidden_bias) {
  auto i = at::chunk(plus(input_gates, input_bias), 3, 1),
       h = at::chunk(plus(hidden_gates, hidden_bias), 3, 1);
  Tensor reset = at::sigmoid(at::add(i[0], h[0])), update = at::sigmoid(at::add(i[1], h[1]));
  Tensor fresh = at::tanh(at::add(i[2], at::mul(reset, h[2])));
  Tensor hy = at::add(fresh, at::mul(update, at::sub(hx, fresh)));
  return {hy, at::cat({reset, update, fresh, h[2], hx}, 1)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad,
                                                                     const Tensor& workspace,
                                                                     bool has_bias) {
  auto w = at::chunk(workspace, 5, 1);
  const Tensor &reset = w[0], &update = w[1], &fresh = w[2], &hidden = w[3], &hx = w[4];
  Tensor grad_update = at::mul(at::mul(grad, at::sub(hx, fresh)), sigmoid_slope(update));
  Tensor grad_fresh = at::mul(at::mul(grad, at::rsub(update, 1)), tanh_slope(fresh));
  Tensor grad_reset = at::mul(at::mul(grad_fresh, hidden), sigmoid_slope(reset));
  Tensor grad_input = at::cat({grad_reset, grad_update, grad_fresh}, 1);
  Tensor grad_hidden = at::cat({grad_reset, grad_update, at::mul(grad_fresh, reset)}, 1);
  return {grad_input, grad_hidden, at::mul(grad, update),
          has_bias ? at::sum(grad_input, {0}, false) : Tensor(),
          has_bias ? at::sum(grad_hidden, {0}, false) : Tensor()};
}

std::tuple<Tensor, Tensor> dropout(const Tensor& input, double p, std::optional<bool> train) {
  if (!train.value_or(true) || p == 0)
    return {at::add(input, 0), at::ones_like(input, input.options().dtype(at::kBool))};
  if (p == 1)
    return {at::zeros_like(input), at::zeros_like(input, input.options().dtype(at::kBool))};
  Tensor mask = at::empty_like(input, input.options().dtype(at::kBool)).bernoulli_(1 - p);
  return {at::mul(at::mul(input, mask), 1 / (1 - p)), mask};
}

}  // namespace

void add_cell_parts(KernelTable& parts) {
  parts.add("_thnn_fused_lstm_cell", &lstm_cell);
  parts.add("_thnn_fused_lstm_cell_backward_impl", &lstm_cell_backward);
  parts.add("_thnn_fused_gru_cell", &gru_cell);
  parts.add("_thnn_fused_gru_cell_backward", &gru_cell_backward);
  parts.add("native_dropout", &dropout);
}

}  // namespace moai::bridge
