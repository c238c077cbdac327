// Losses against their formulas, gradients against differences; embedding.
#include <functional>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

using Values = std::vector<double>;
using Tail = std::function<void(SegmentBuilder::Op&)>;

const Values kScores = {0.3, 0.9, 0.05, 0.6, 0.45, 0.8}, kTargets = {0.1, 1, 0.5, 0, 0.7, 0.2};

Shape loss_shape(int64_t reduction) { return reduction == 0 ? Shape{2, 3} : Shape{}; }

// In f64, so that differences of it make sense.
Values loss_of(const std::string& name, const Values& x, int64_t reduction, const Tail& tail) {
  Harness h;
  TensorArg a = h.given(DType::f64, {2, 3}, x), t = h.given(DType::f64, {2, 3}, kTargets);
  TensorArg y = h.fresh(DType::f64, loss_shape(reduction));
  auto op = h.op(name);
  op.tensor(a).tensor(t);
  tail(op);
  op.out({y});
  return h.result(y);
}

void check_gradient(const std::string& name, int64_t reduction, const Tail& tail) {
  INFO(name << ", reduction " << reduction);
  const Shape s = loss_shape(reduction);
  Values g;
  for (int64_t i = 0; i < s.numel(); i++) g.push_back(1.5 - static_cast<double>(i) * 0.4);
  Harness h;
  TensorArg dy = h.given(DType::f64, s, g), a = h.given(DType::f64, {2, 3}, kScores);
  TensorArg t = h.given(DType::f64, {2, 3}, kTargets), dx = h.fresh(DType::f64, {2, 3});
  auto op = h.op(name + "_backward");
  op.tensor(dy).tensor(a).tensor(t);
  tail(op);
  op.out({dx});
  Values want;
  const double step = 1e-5;
  for (size_t i = 0; i < kScores.size(); i++) {
    Values up = kScores, down = kScores;
    up[i] += step, down[i] -= step;
    Values high = loss_of(name, up, reduction, tail), low = loss_of(name, down, reduction, tail);
    double slope = 0;
    for (size_t k = 0; k < g.size(); k++) slope += g[k] * (high[k] - low[k]) / (2 * step);
    want.push_back(slope);
  }
  check_close(h.result(dx), want, 1e-6);
}

TEST_CASE("gradients of elementwise losses are their slopes") {
  for (int64_t r : {0, 1, 2}) {
    check_gradient("mse_loss", r, [&](auto& op) { op.integer(r); });
    check_gradient("smooth_l1_loss", r, [&](auto& op) { op.integer(r).real(0.3); });
    check_gradient("huber_loss", r, [&](auto& op) { op.integer(r).scalar(0.3); });
    check_gradient("binary_cross_entropy", r, [&](auto& op) { op.none().integer(r); });
  }
}

Values pair_loss(const std::string& name, const Values& x, const Values& t, const Tail& tail) {
  Harness h;
  const Shape s{static_cast<int64_t>(x.size())};
  TensorArg a = h.given(s, x), b = h.given(s, t), y = h.fresh(DType::f32, s);
  auto op = h.op(name);
  op.tensor(a).tensor(b);
  tail(op);
  op.out({y});
  return h.result(y);
}

TEST_CASE("elementwise losses by hand") {
  check_close(pair_loss("mse_loss", {1, -1}, {3, 2}, [](auto& op) { op.integer(0); }), {4, 9});
  check_close(
      pair_loss("smooth_l1_loss", {1, 0}, {1.5, 5}, [](auto& op) { op.integer(0).real(2); }),
      {0.0625, 4});
  check_close(
      pair_loss("smooth_l1_loss", {1, 0}, {1.5, 5}, [](auto& op) { op.integer(0).real(0); }),
      {0.5, 5});
  check_close(pair_loss("huber_loss", {1, 0}, {1.5, 5}, [](auto& op) { op.integer(0).real(2); }),
              {0.125, 8});
  // log(0) counts as -100.
  check_close(pair_loss("binary_cross_entropy", {0, 1, 0.5}, {1, 1, 0},
                        [](auto& op) { op.none().integer(0); }),
              {100, 0, std::log(2.0)});
}

TEST_CASE("cross entropy of logits is finite far from zero") {
  check_close(pair_loss("binary_cross_entropy_with_logits", {200, -200, 0}, {0, 1, 1},
                        [](auto& op) { op.none().none().integer(0); }),
              {200, 200, std::log(2.0)});
}

TEST_CASE("positive weights scale the positive part alone") {
  Harness h;
  TensorArg x = h.given({2}, {0, 0}), t = h.given({2}, {1, 0}), p = h.given({2}, {3, 3});
  TensorArg y = h.fresh(DType::f32, {});
  h.op("binary_cross_entropy_with_logits").tensor(x).tensor(t).none().tensor(p).integer(2).out({y});
  check_close(h.result(y), {4 * std::log(2.0)});
}

TEST_CASE("halves are summed in f32 and rounded once") {
  Harness h;
  const int n = 4096;
  TensorArg x = h.given(DType::f16, {n}, Values(n, 1)), t = h.given(DType::f16, {n}, Values(n, 0));
  TensorArg y = h.fresh(DType::f16, {});
  h.op("mse_loss").tensor(x).tensor(t).integer(2).out({y});
  check_close(h.result(y), {4096}, 0);
}

// Three samples of two classes, the second one ignored.
struct Likelihood : Harness {
  TensorArg x = given({3, 2}, {-1, -2, -3, -4, -5, -6});
  TensorArg t = given(DType::i64, {3}, {1, 7, 0}), w = given({2}, {0.5, 2});
};

TEST_CASE("likelihood loss weighs, ignores and reduces") {
  const Values wants[] = {{4, 0, 2.5}, {6.5 / 2.5}, {6.5}};
  for (int64_t r : {0, 1, 2}) {
    Likelihood h;
    TensorArg y = h.fresh(DType::f32, r == 0 ? Shape{3} : Shape{}), total = h.fresh(DType::f32, {});
    h.op("nll_loss_forward")
        .tensor(h.x)
        .tensor(h.t)
        .tensor(h.w)
        .integer(r)
        .integer(7)
        .out({y, total});
    h.run({y.slot, total.slot});
    check_close(h.values(y), wants[r]);
    check_close(h.values(total), {2.5});
  }
}

TEST_CASE("gradient of the likelihood loss is at the targets alone") {
  const Values wants[] = {{0, -20, 0, 0, -15, 0}, {0, -8, 0, 0, -2, 0}, {0, -20, 0, 0, -5, 0}};
  for (int64_t r : {0, 1, 2}) {
    Likelihood h;
    TensorArg dy = r == 0 ? h.given({3}, {10, 20, 30}) : h.given({}, {10});
    TensorArg total = h.given({}, {2.5}), dx = h.fresh(DType::f32, {3, 2});
    h.op("nll_loss_backward")
        .tensor(dy)
        .tensor(h.x)
        .tensor(h.t)
        .tensor(h.w)
        .integer(r)
        .integer(7)
        .tensor(total)
        .out({dx});
    check_close(h.result(dx), wants[r]);
  }
}

TEST_CASE("likelihood loss of planes has its classes on axis 1") {
  Harness h;
  TensorArg x = h.given({1, 2, 1, 3}, {-1, -2, -3, -4, -5, -6});
  TensorArg t = h.given(DType::i64, {1, 1, 3}, {0, 1, -100}), dy = h.given({}, {4});
  TensorArg y = h.fresh(DType::f32, {}), total = h.fresh(DType::f32, {});
  TensorArg dx = h.fresh(DType::f32, {1, 2, 1, 3});
  h.op("nll_loss2d_forward").tensor(x).tensor(t).none().integer(1).integer(-100).out({y, total});
  h.op("nll_loss2d_backward")
      .tensor(dy)
      .tensor(x)
      .tensor(t)
      .none()
      .integer(1)
      .integer(-100)
      .tensor(total)
      .out({dx});
  h.run({y.slot, dx.slot});
  check_close(h.values(y), {3});
  check_close(h.values(dx), {-2, 0, 0, 0, -2, 0});
}

TEST_CASE("a batch of ignored samples has no mean") {
  Harness h;
  TensorArg x = h.given({1, 2}, {-1, -2}), t = h.given(DType::i64, {1}, {-100});
  TensorArg y = h.fresh(DType::f32, {}), total = h.fresh(DType::f32, {});
  h.op("nll_loss_forward").tensor(x).tensor(t).none().integer(1).integer(-100).out({y, total});
  check_close(h.result(y), {NAN});
}

TEST_CASE("embedding looks rows up and sums their gradients") {
  struct Case {
    int64_t padding, scales;
    Values want;
  };
  const Case cases[] = {{-1, 0, {0, 0, 102, 204, 10, 20}},
                        {2, 0, {0, 0, 102, 204, 0, 0}},
                        {-1, 1, {0, 0, 51, 102, 10, 20}}};
  for (const Case& k : cases) {
    Harness h;
    TensorArg table = h.given({3, 2}, {1, 2, 3, 4, 5, 6}), at = h.given(DType::i64, {3}, {1, 2, 1});
    TensorArg rows = h.fresh(DType::f32, {3, 2}), dx = h.fresh(DType::f32, {3, 2});
    TensorArg g = h.given({3, 2}, {2, 4, 10, 20, 100, 200});
    h.op("embedding").tensor(table).tensor(at).integer(-1).out({rows});
    h.op("embedding_dense_backward")
        .tensor(g)
        .tensor(at)
        .integer(3)
        .integer(k.padding)
        .integer(k.scales)
        .out({dx});
    h.run({rows.slot, dx.slot});
    check_close(h.values(rows), {3, 4, 5, 6, 3, 4});
    check_close(h.values(dx), k.want);
  }
}

}  // namespace
}  // namespace moai::testing
