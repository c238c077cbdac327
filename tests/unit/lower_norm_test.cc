// Softmax and the norms against plain formulas, their gradients against finite differences; odd
// shapes.
#include <array>

#include "tests/support/finite_difference.h"

namespace moai::testing {
namespace {

constexpr double kEps = 1e-3;
constexpr double kFine = 1e-9, kDifference = 1e-6;  // of results, of gradients

// Softmax, or its logarithm, along the middle of [outer, n, inner].
Values softmax_plain(const Values& x, int outer, int n, int inner, bool is_log) {
  Values y(x.size());
  for (int o = 0; o < outer; o++)
    for (int i = 0; i < inner; i++) {
      auto at = [&](int k) { return static_cast<size_t>((o * n + k) * inner + i); };
      double sum = 0;
      for (int k = 0; k < n; k++) sum += std::exp(x[at(k)]);
      for (int k = 0; k < n; k++)
        y[at(k)] = is_log ? x[at(k)] - std::log(sum) : std::exp(x[at(k)]) / sum;
    }
  return y;
}

TEST_CASE("softmax and log_softmax with their gradients") {
  const Shape shape{3, 7, 5};
  const Values x = random_values(105, 1), g = random_values(105, 2);
  for (bool is_log : {false, true}) {
    const std::string name = is_log ? "_log_softmax" : "_softmax";
    Harness h;
    TensorArg in = given64(h, shape, x), grad = given64(h, shape, g);
    TensorArg y = fresh64(h, shape), dx = fresh64(h, shape);
    h.op(name).tensor(in).integer(-2).integer(0).out({y});
    h.op(name + "_backward_data").tensor(grad).tensor(y).integer(1).dtype(DType::f64).out({dx});
    h.run({y.slot, dx.slot});
    check_close(h.values(y), softmax_plain(x, 3, 7, 5, is_log), kFine);
    Formula f = [&](const std::vector<Values>& v) {
      return weighted(softmax_plain(v[0], 3, 7, 5, is_log), g);
    };
    check_close(h.values(dx), gradient_of(f, {x}, 0), kDifference);
  }
}

TEST_CASE("softmax of large numbers, of a row that is masked out, of one number") {
  const double inf = std::numeric_limits<double>::infinity();
  Harness h;
  TensorArg x = given64(h, {2, 2}, {1000, 1000, -inf, -inf}), one = given64(h, {}, {3});
  TensorArg y = fresh64(h, {2, 2}), safe = fresh64(h, {2, 2}), z = fresh64(h, {});
  h.op("_softmax").tensor(x).integer(1).integer(0).out({y});
  h.op("_safe_softmax").tensor(x).integer(1).none().out({safe});
  h.op("_softmax").tensor(one).integer(0).integer(0).out({z});
  h.run({y.slot, safe.slot, z.slot});
  check_close(h.values(y), {0.5, 0.5, NAN, NAN}, 0);
  check_close(h.values(safe), {0.5, 0.5, 0, 0}, 0);
  check_close(h.values(z), {1}, 0);
}

struct Moments {
  double mean, scale;  // scale: one over the deviation
};
// Of the elements that `place` numbers 0 to n - 1.
template <class Place>
Moments moments(const Values& x, int n, Place place) {
  double mean = 0, var = 0;
  for (int i = 0; i < n; i++) mean += x[place(i)] / n;
  for (int i = 0; i < n; i++) var += (x[place(i)] - mean) * (x[place(i)] - mean) / n;
  return {mean, 1 / std::sqrt(var + kEps)};
}

// x [n, channels, inner] normalized in `groups`: every group of channels of one n apart.
// Weight and bias of a channel, or, for layer norm (channels = 1), of an inner element.
Values group_norm_plain(const std::vector<Values>& in, int n, int channels, int inner, int groups) {
  const Values &x = in[0], &w = in[1], &b = in[2];
  Values y(x.size());
  const int size = channels / groups * inner;
  for (int row = 0; row < n * groups; row++) {
    auto place = [&](int i) { return static_cast<size_t>(row * size + i); };
    const Moments m = moments(x, size, place);
    for (int i = 0; i < size; i++) {
      const size_t at = place(i);
      const size_t c = channels == 1
                           ? static_cast<size_t>(i)
                           : at / static_cast<size_t>(inner) % static_cast<size_t>(channels);
      y[at] = (x[at] - m.mean) * m.scale * w[c] + b[c];
    }
  }
  return y;
}

TEST_CASE("layer norm over two dimensions, with its gradients") {
  const Shape shape{5, 3, 7}, inner{3, 7}, rows{5, 1, 1};
  const std::vector<Values> in = {random_values(105, 3), random_values(21, 4),
                                  random_values(21, 5)};
  const Values g = random_values(105, 6);
  Harness h;
  TensorArg x = given64(h, shape, in[0]), w = given64(h, inner, in[1]),
            b = given64(h, inner, in[2]);
  TensorArg grad = given64(h, shape, g), y = fresh64(h, shape), mean = fresh64(h, rows),
            rstd = fresh64(h, rows);
  std::array<TensorArg, 3> d = {fresh64(h, shape), fresh64(h, inner), fresh64(h, inner)};
  h.op("native_layer_norm")
      .tensor(x)
      .integers({3, 7})
      .tensor(w)
      .tensor(b)
      .scalar(kEps)
      .out({y, mean, rstd});
  h.op("native_layer_norm_backward")
      .tensor(grad)
      .tensor(x)
      .integers({3, 7})
      .tensor(mean)
      .tensor(rstd)
      .tensor(w)
      .tensor(b)
      .integers({1, 1, 1})
      .out({d[0], d[1], d[2]});
  h.run({y.slot, mean.slot, d[0].slot, d[1].slot, d[2].slot});
  auto plain = [](const std::vector<Values>& v) { return group_norm_plain(v, 5, 1, 21, 1); };
  check_close(h.values(y), plain(in), kFine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(plain(v), g); };
  for (size_t i = 0; i < 3; i++) check_close(h.values(d[i]), gradient_of(f, in, i), kDifference);
}

TEST_CASE("group norm with its gradients; a mask leaves gradients out") {
  const Shape shape{2, 6, 5}, per{6}, groups{2, 3};
  const std::vector<Values> in = {random_values(60, 7), random_values(6, 8), random_values(6, 9)};
  const Values g = random_values(60, 10);
  Harness h;
  TensorArg x = given64(h, shape, in[0]), w = given64(h, per, in[1]), b = given64(h, per, in[2]);
  TensorArg grad = given64(h, shape, g), y = fresh64(h, shape), mean = fresh64(h, groups),
            rstd = fresh64(h, groups);
  std::array<TensorArg, 3> d = {fresh64(h, shape), fresh64(h, per), fresh64(h, per)};
  TensorArg only = fresh64(h, per);
  h.op("native_group_norm")
      .tensor(x)
      .tensor(w)
      .tensor(b)
      .integer(2)
      .integer(6)
      .integer(5)
      .integer(3)
      .scalar(kEps)
      .out({y, mean, rstd});
  auto backward = [&](const std::vector<std::optional<TensorArg>>& outs) {
    h.op("native_group_norm_backward")
        .tensor(grad)
        .tensor(x)
        .tensor(mean)
        .tensor(rstd)
        .tensor(w)
        .integer(2)
        .integer(6)
        .integer(5)
        .integer(3)
        .integers({1, 1, 1})
        .out(outs);
  };
  backward({d[0], d[1], d[2]});
  backward({std::nullopt, std::nullopt, only});
  h.run({y.slot, d[0].slot, d[1].slot, d[2].slot, only.slot});
  auto plain = [](const std::vector<Values>& v) { return group_norm_plain(v, 2, 6, 5, 3); };
  check_close(h.values(y), plain(in), kFine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(plain(v), g); };
  for (size_t i = 0; i < 3; i++) check_close(h.values(d[i]), gradient_of(f, in, i), kDifference);
  check_close(h.values(only), h.values(d[2]), 0);
}

// [3, 2, 7]: statistics of each channel, of the batch or given.
Values batch_norm_plain(const std::vector<Values>& in, const Moments* given) {
  const Values &x = in[0], &w = in[1], &b = in[2];
  Values y(x.size());
  for (int c = 0; c < 2; c++) {
    auto place = [&](int i) { return static_cast<size_t>((i / 7 * 2 + c) * 7 + i % 7); };
    const Moments m = given ? given[c] : moments(x, 21, place);
    const auto at = static_cast<size_t>(c);
    for (int i = 0; i < 21; i++) y[place(i)] = (x[place(i)] - m.mean) * m.scale * w[at] + b[at];
  }
  return y;
}

struct BatchNorm {
  Harness h;
  std::vector<Values> in = {random_values(42, 11), random_values(2, 12), random_values(2, 13)};
  Values g = random_values(42, 14);
  const Shape shape{3, 2, 7}, per{2};
  TensorArg x = given64(h, shape, in[0]), w = given64(h, per, in[1]), b = given64(h, per, in[2]);
  TensorArg run_mean = given64(h, per, {0.5, -1}), run_var = given64(h, per, {2, 0.25});
  TensorArg grad = given64(h, shape, g), y = fresh64(h, shape);
  TensorArg mean = fresh64(h, per), scale = fresh64(h, per);
  std::array<TensorArg, 3> d = {fresh64(h, shape), fresh64(h, per), fresh64(h, per)};

  void run(bool training) {
    auto maybe = [&](TensorArg t) { return training ? std::optional(t) : std::nullopt; };
    h.op("native_batch_norm")
        .tensor(x)
        .tensor(w)
        .tensor(b)
        .tensor(run_mean)
        .tensor(run_var)
        .integer(training)
        .scalar(0.1)
        .scalar(kEps)
        .out({y, maybe(mean), maybe(scale), maybe(run_mean), maybe(run_var)});
    auto op = h.op("native_batch_norm_backward");
    op.tensor(grad).tensor(x).tensor(w).tensor(run_mean).tensor(run_var);
    training ? op.tensor(mean).tensor(scale) : op.none().none();
    op.integer(training).scalar(kEps).integers({1, 1, 1}).out({d[0], d[1], d[2]});
    h.run({y.slot, run_mean.slot, run_var.slot, d[0].slot, d[1].slot, d[2].slot});
  }
  void check(const Moments* given) {
    check_close(h.values(y), batch_norm_plain(in, given), kFine);
    Formula f = [&](const std::vector<Values>& v) {
      return weighted(batch_norm_plain(v, given), g);
    };
    for (size_t i = 0; i < 3; i++) check_close(h.values(d[i]), gradient_of(f, in, i), kDifference);
  }
};

TEST_CASE("batch norm in training: its statistics, their running means, its gradients") {
  BatchNorm n;
  n.run(true);
  n.check(nullptr);
  Values mean, var;
  for (int c = 0; c < 2; c++) {
    const Moments m = moments(
        n.in[0], 21, [&](int i) { return static_cast<size_t>((i / 7 * 2 + c) * 7 + i % 7); });
    mean.push_back(0.9 * (c ? -1 : 0.5) + 0.1 * m.mean);
    const double biased = 1 / (m.scale * m.scale) - kEps;
    var.push_back(0.9 * (c ? 0.25 : 2) + 0.1 * biased * 21 / 20);
  }
  check_close(n.h.values(n.run_mean), mean, kFine);
  check_close(n.h.values(n.run_var), var, kFine);
}

TEST_CASE("batch norm in evaluation uses what it has seen") {
  BatchNorm n;
  n.run(false);
  const Moments given[] = {{0.5, 1 / std::sqrt(2 + kEps)}, {-1, 1 / std::sqrt(0.25 + kEps)}};
  n.check(given);
}

TEST_CASE("norms of narrow numbers are computed in f32 and rounded once") {
  Harness h;
  const Values x = {1, 2, 3, 4.5};
  TensorArg in = h.given(DType::bf16, {1, 4}, x), y = h.fresh(DType::bf16, {1, 4});
  TensorArg mean = h.fresh(DType::f32, {1, 1}), rstd = h.fresh(DType::f32, {1, 1});
  h.op("native_layer_norm")
      .tensor(in)
      .integers({4})
      .none()
      .none()
      .scalar(kEps)
      .out({y, mean, rstd});
  h.run({y.slot, mean.slot});
  const Values want = group_norm_plain({x, Values(4, 1), Values(4, 0)}, 1, 1, 4, 1);
  check_close(h.values(mean), {2.625}, 0);
  check_close(h.values(y), want, 1.0 / 256);
}

TEST_CASE("norms refuse what does not fit, by name") {
  Harness h;
  TensorArg x = h.given({2, 6, 5}, Values(60, 1)), y = h.fresh(DType::f32, {2, 6, 5});
  TensorArg m = h.fresh(DType::f32, {2, 4});
  h.op("native_group_norm")
      .tensor(x)
      .none()
      .none()
      .integer(2)
      .integer(6)
      .integer(5)
      .integer(4)
      .scalar(kEps)
      .out({y, m, m});
  CHECK(h.status().message().find("the channels do not divide into the groups") !=
        std::string::npos);
}

}  // namespace
}  // namespace moai::testing
