// The fused LSTM and GRU cells against plain formulas, their gradients against finite differences.
#include "tests/support/finite_difference.h"

namespace moai::testing {
namespace {

constexpr int kRows = 3, kWidth = 5;
constexpr double kFine = 1e-9, kDifference = 1e-6;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Gate k of element (r, j): what the input and the hidden state give, with their biases.
double gate(const Values& gates, const Values& bias, int count, int r, int k, int j) {
  return gates[static_cast<size_t>(r * count * kWidth + k * kWidth + j)] +
         bias[static_cast<size_t>(k * kWidth + j)];
}

// input gates, hidden gates, cx, input bias, hidden bias -> hy, cy as one list
Values lstm_plain(const std::vector<Values>& in) {
  Values hy, cy;
  for (int r = 0; r < kRows; r++)
    for (int j = 0; j < kWidth; j++) {
      auto sum = [&](int k) {
        return gate(in[0], in[3], 4, r, k, j) + gate(in[1], in[4], 4, r, k, j);
      };
      const double c = sigmoid(sum(1)) * in[2][static_cast<size_t>(r * kWidth + j)] +
                       sigmoid(sum(0)) * std::tanh(sum(2));
      cy.push_back(c), hy.push_back(sigmoid(sum(3)) * std::tanh(c));
    }
  hy.insert(hy.end(), cy.begin(), cy.end());
  return hy;
}

// input gates, hidden gates, hx, input bias, hidden bias -> hy
Values gru_plain(const std::vector<Values>& in) {
  Values hy;
  for (int r = 0; r < kRows; r++)
    for (int j = 0; j < kWidth; j++) {
      auto of_input = [&](int k) { return gate(in[0], in[3], 3, r, k, j); };
      auto of_hidden = [&](int k) { return gate(in[1], in[4], 3, r, k, j); };
      const double reset = sigmoid(of_input(0) + of_hidden(0)),
                   update = sigmoid(of_input(1) + of_hidden(1));
      const double fresh = std::tanh(of_input(2) + reset * of_hidden(2));
      hy.push_back(fresh + update * (in[2][static_cast<size_t>(r * kWidth + j)] - fresh));
    }
  return hy;
}

struct Cell {
  explicit Cell(int gate_count) : gates{kRows, gate_count * kWidth}, per{gate_count * kWidth} {
    const Shape shapes[] = {gates, gates, state, per, per};
    for (size_t i = 0; i < 5; i++) {
      in.push_back(random_values(shapes[i].numel(), static_cast<uint32_t>(40 + i)));
      args.push_back(given64(h, shapes[i], in[i]));
    }
  }
  Harness h;
  Shape gates, state{kRows, kWidth}, per;
  std::vector<Values> in;
  std::vector<TensorArg> args;
};

Values head(const Values& v, size_t n) {
  return {v.begin(), v.begin() + static_cast<std::ptrdiff_t>(n)};
}
Values tail(const Values& v, size_t n) {
  return {v.begin() + static_cast<std::ptrdiff_t>(n), v.end()};
}

TEST_CASE("an LSTM cell with its gradients") {
  Cell c(4);
  const size_t n = kRows * kWidth;
  const Values g = random_values(2 * kRows * kWidth, 50);
  Harness& h = c.h;
  TensorArg hy = fresh64(h, c.state), cy = fresh64(h, c.state), work = fresh64(h, c.gates);
  TensorArg grad_hy = given64(h, c.state, head(g, n)), grad_cy = given64(h, c.state, tail(g, n));
  TensorArg d_gates = fresh64(h, c.gates), d_cx = fresh64(h, c.state), d_bias = fresh64(h, c.per);
  auto forward = h.op("_thnn_fused_lstm_cell");
  for (const TensorArg& t : c.args) forward.tensor(t);
  forward.out({hy, cy, work});
  h.op("_thnn_fused_lstm_cell_backward_impl")
      .tensor(grad_hy)
      .tensor(grad_cy)
      .tensor(c.args[2])
      .tensor(cy)
      .tensor(work)
      .integer(1)
      .out({d_gates, d_cx, d_bias});
  h.run({hy.slot, cy.slot, d_gates.slot, d_cx.slot, d_bias.slot});
  check_close(h.values(hy), head(lstm_plain(c.in), n), kFine);
  check_close(h.values(cy), tail(lstm_plain(c.in), n), kFine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(lstm_plain(v), g); };
  check_close(h.values(d_gates), gradient_of(f, c.in, 0), kDifference);
  check_close(h.values(d_gates), gradient_of(f, c.in, 1), kDifference);
  check_close(h.values(d_cx), gradient_of(f, c.in, 2), kDifference);
  check_close(h.values(d_bias), gradient_of(f, c.in, 3), kDifference);
}

TEST_CASE("an LSTM cell without biases, and a gradient of one of its two results") {
  Cell c(4);
  c.in[3] = c.in[4] = Values(4 * kWidth, 0);
  const size_t n = kRows * kWidth;
  Values g = random_values(2 * kRows * kWidth, 51);
  for (size_t i = 0; i < n; i++) g[i] = 0;  // of hy
  Harness& h = c.h;
  TensorArg hy = fresh64(h, c.state), cy = fresh64(h, c.state), work = fresh64(h, c.gates);
  TensorArg grad_cy = given64(h, c.state, tail(g, n)), d_gates = fresh64(h, c.gates),
            d_cx = fresh64(h, c.state);
  h.op("_thnn_fused_lstm_cell")
      .tensor(c.args[0])
      .tensor(c.args[1])
      .tensor(c.args[2])
      .none()
      .none()
      .out({hy, cy, work});
  h.op("_thnn_fused_lstm_cell_backward_impl")
      .none()
      .tensor(grad_cy)
      .tensor(c.args[2])
      .tensor(cy)
      .tensor(work)
      .integer(0)
      .out({d_gates, d_cx, std::nullopt});
  h.run({cy.slot, d_gates.slot, d_cx.slot});
  check_close(h.values(cy), tail(lstm_plain(c.in), n), kFine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(lstm_plain(v), g); };
  check_close(h.values(d_gates), gradient_of(f, c.in, 0), kDifference);
  check_close(h.values(d_cx), gradient_of(f, c.in, 2), kDifference);
}

TEST_CASE("a GRU cell with its gradients") {
  Cell c(3);
  const Values g = random_values(kRows * kWidth, 52);
  Harness& h = c.h;
  TensorArg hy = fresh64(h, c.state), work = fresh64(h, {kRows, 5 * kWidth}),
            grad = given64(h, c.state, g);
  std::vector<TensorArg> d = {fresh64(h, c.gates), fresh64(h, c.gates), fresh64(h, c.state),
                              fresh64(h, c.per), fresh64(h, c.per)};
  auto forward = h.op("_thnn_fused_gru_cell");
  for (const TensorArg& t : c.args) forward.tensor(t);
  forward.out({hy, work});
  h.op("_thnn_fused_gru_cell_backward")
      .tensor(grad)
      .tensor(work)
      .integer(1)
      .out({d[0], d[1], d[2], d[3], d[4]});
  std::vector<uint32_t> live = {hy.slot};
  for (const TensorArg& t : d) live.push_back(t.slot);
  h.run(live);
  check_close(h.values(hy), gru_plain(c.in), kFine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(gru_plain(v), g); };
  for (size_t i = 0; i < 5; i++) check_close(h.values(d[i]), gradient_of(f, c.in, i), kDifference);
}

TEST_CASE("gates that are no whole number of blocks are refused") {
  Harness h;
  TensorArg x = h.given({2, 7}, Values(14, 1)), s = h.given({2, 2}, Values(4, 1)),
            y = h.fresh(DType::f32, {2, 2});
  h.op("_thnn_fused_lstm_cell").tensor(x).tensor(x).tensor(s).none().none().out({y, y, x});
  CHECK(h.status().message().find("the gates are no matrix of 4 blocks") != std::string::npos);
}

}  // namespace
}  // namespace moai::testing
