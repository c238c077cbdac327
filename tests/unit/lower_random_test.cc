// Random ops by their distributions, optimizers against formulas written out.
#include <numeric>
#include <set>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

constexpr int kMany = 4000;

std::vector<double> draw(const char* name, DType t, std::initializer_list<double> numbers,
                         int64_t offset = 0) {
  Harness h;
  TensorArg y = h.fresh(t, {kMany});
  auto op = h.op(name);
  op.tensor(y);
  for (double n : numbers) op.scalar(n);
  op.rng(42, offset).out({y});
  return h.result(y);
}

std::pair<double, double> moments(const std::vector<double>& v) {
  double mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()), sum = 0;
  for (double x : v) sum += (x - mean) * (x - mean);
  return {mean, std::sqrt(sum / static_cast<double>(v.size()))};
}

TEST_CASE("distributions have their moments") {
  struct Case {
    const char* name;
    DType t;
    std::vector<double> numbers;
    double mean, deviation;
  };
  for (DType t : {DType::f32, DType::f64, DType::bf16}) {
    auto [m, d] = moments(draw("normal_functional", t, {3, 2}));
    CHECK(std::abs(m - 3) < 0.12);
    CHECK(std::abs(d - 2) < 0.1);
    auto u = draw("uniform", t, {-1, 3});
    CHECK(std::abs(moments(u).first - 1) < 0.08);
    for (double x : u) REQUIRE((x >= -1 && x <= 3));
  }
  CHECK(std::abs(moments(draw("exponential", DType::f32, {2})).first - 0.5) < 0.04);
  CHECK(std::abs(moments(draw("bernoulli.p", DType::f32, {0.25})).first - 0.25) < 0.03);
  CHECK(std::abs(moments(draw("geometric", DType::f32, {0.25})).first - 4) < 0.3);
}

TEST_CASE("the same seed and offset draw the same, another offset does not") {
  auto a = draw("uniform", DType::f32, {0, 1}), b = draw("uniform", DType::f32, {0, 1});
  CHECK(a == b);
  CHECK(a != draw("uniform", DType::f32, {0, 1}, kMany));
  auto next = draw("uniform", DType::f32, {0, 1}, 4);
  CHECK(std::equal(next.begin(), next.end() - 4, a.begin() + 4));  // one word an element
}

TEST_CASE("integers stay in their range and reach its ends") {
  for (DType t : {DType::i64, DType::i32, DType::u8, DType::f32}) {
    Harness h;
    TensorArg y = h.fresh(t, {500});
    h.op("random.from").tensor(y).integer(3).integer(8).rng(1, 0).out({y});
    auto v = h.result(y);
    std::set<double> seen(v.begin(), v.end());
    CHECK(seen == std::set<double>{3, 4, 5, 6, 7});
  }
  Harness empty;
  TensorArg y = empty.fresh(DType::i64, {3});
  empty.op("random.from").tensor(y).integer(3).integer(3).rng(1, 0).out({y});
  CHECK(empty.status().code() == StatusCode::invalid_argument);
}

TEST_CASE("a permutation has every number once") {
  for (DType t : {DType::i64, DType::i32}) {
    Harness h;
    TensorArg y = h.fresh(t, {50});
    h.op("randperm.generator").integer(50).rng(1, 0).none().none().none().none().out({y});
    auto v = h.result(y);
    CHECK(std::set<double>(v.begin(), v.end()).size() == 50);
    CHECK(!std::is_sorted(v.begin(), v.end()));
  }
}

TEST_CASE("multinomial follows the weights and never draws a zero") {
  for (bool with_replacement : {true, false}) {
    Harness h;
    std::vector<double> weights;
    for (int i = 0; i < 400; i++) weights.insert(weights.end(), {0, 1, 0, 3, 0});
    TensorArg w = h.given({400, 5}, weights), y = h.fresh(DType::i64, {400, 2});
    h.op("multinomial").tensor(w).integer(2).integer(with_replacement).rng(5, 0).out({y});
    auto v = h.result(y);
    int threes = 0;
    for (double x : v) {
      REQUIRE((x == 1 || x == 3));
      threes += x == 3;
    }
    CHECK(std::abs(threes - (with_replacement ? 600 : 400)) < 60);
  }
}

TEST_CASE("dropout scales what it keeps; its gradient uses the mask") {
  Harness h;
  TensorArg x = h.given({1000}, std::vector<double>(1000, 2.0));
  TensorArg y = h.fresh(DType::f32, {1000}), m = h.fresh(DType::boolean, {1000}),
            g = h.fresh(DType::f32, {1000});
  h.op("native_dropout").tensor(x).scalar(0.25).integer(1).rng(3, 0).out({y, m});
  h.op("native_dropout_backward").tensor(x).tensor(m).scalar(1 / 0.75).out({g});
  h.run({y.slot, m.slot, g.slot});
  auto values = h.values(y), mask = h.values(m);
  double kept = 0;
  for (size_t i = 0; i < 1000; i++) {
    kept += mask[i];
    REQUIRE(values[i] == Approx(mask[i] ? 2 / 0.75 : 0));
  }
  CHECK(std::abs(kept - 750) < 50);
  check_close(h.values(g), values);
}

TEST_CASE("an op that draws needs a generator") {
  Harness h;
  TensorArg y = h.fresh(DType::f32, {3});
  h.op("uniform").tensor(y).scalar(0).scalar(1).none().out({y});
  CHECK(h.status().code() == StatusCode::invalid_argument);
}

struct AdamCase {
  bool is_decoupled, amsgrad, maximize, has_scale;
  double found_inf;
};

TEST_CASE("fused Adam and AdamW") {
  for (AdamCase k : {AdamCase{true, false, false, false, 0}, AdamCase{false, true, true, true, 0},
                     AdamCase{true, false, false, true, 1}}) {
    Harness h;
    TensorArg p = h.given({2}, {1, -2}), g = h.given({2}, {0.5, 4}), m = h.given({2}, {0.1, 0.2});
    TensorArg v = h.given({2}, {0.3, 0.4}), top = h.given({2}, {5, 0.1}), step = h.given({}, {3});
    TensorArg scale = h.given({}, {2}), inf = h.given({}, {k.found_inf});
    auto op = h.op(k.is_decoupled ? "_fused_adamw_" : "_fused_adam_");
    std::vector<std::optional<TensorArg>> tops, outs = {p, g, m, v};
    if (k.amsgrad) tops = {top}, outs.push_back(top);
    op.tensors({p}).tensors({g}).tensors({m}).tensors({v}).tensors(tops).tensors({step});
    for (double n : {0.1, 0.9, 0.99, 0.01, 1e-8}) op.scalar(n);
    op.integer(k.amsgrad).integer(k.maximize);
    k.has_scale ? op.tensor(scale) : op.none();
    k.has_scale ? op.tensor(inf) : op.none();
    op.out(outs);
    h.run({p.slot, g.slot, m.slot, v.slot, top.slot});
    std::vector<double> want;
    const double ps[] = {1, -2}, gs[] = {0.5, 4}, ms[] = {0.1, 0.2}, vs[] = {0.3, 0.4},
                 ts[] = {5, 0.1};
    for (int i = 0; i < 2; i++) {
      double q = ps[i], grad = gs[i] / (k.has_scale ? 2 : 1) * (k.maximize ? -1 : 1);
      if (k.is_decoupled)
        q *= 1 - 0.1 * 0.01;
      else
        grad += 0.01 * q;
      double mean = 0.9 * ms[i] + 0.1 * grad, square = 0.99 * vs[i] + 0.01 * grad * grad;
      double most = k.amsgrad ? std::max(ts[i], square) : square;
      double c1 = 1 - std::pow(0.9, 3), c2 = 1 - std::pow(0.99, 3);
      q -= 0.1 / c1 * mean / (std::sqrt(most) / std::sqrt(c2) + 1e-8);
      want.push_back(k.found_inf ? ps[i] : q);
    }
    check_close(h.values(p), want);
  }
}

TEST_CASE("foreach ops treat each element alone") {
  Harness h;
  TensorArg a = h.given({2}, {1, 2}), b = h.given({1}, {3}), c = h.given({2}, {4, 5}),
            d = h.given({1}, {6});
  TensorArg n1 = h.fresh(DType::f32, {}), n2 = h.fresh(DType::f32, {}), s = h.given({}, {10});
  h.op("_foreach_add.List").tensors({a, b}).tensors({c, d}).scalar(2).out({a, b});
  h.op("_foreach_addcdiv.ScalarList")
      .tensors({a, b})
      .tensors({c, d})
      .tensors({c, d})
      .scalars({1, 2})
      .out({a, b});
  h.op("_foreach_mul_.Tensor").tensors({a, b}).tensor(s).out({a, b});
  h.op("_foreach_norm.Scalar").tensors({a, b}).scalar(2).none().out({n1, n2});
  h.run({a.slot, b.slot, n1.slot, n2.slot});
  check_close(h.values(a), {100, 130});
  check_close(h.values(b), {170});
  check_close(h.values(n1), {164.0121947});
  check_close(h.values(n2), {170});
}

TEST_CASE("gradient scaling notices what is not finite") {
  Harness h;
  TensorArg g = h.given({2}, {2, std::numeric_limits<double>::infinity()}),
            found = h.given({1}, {0});
  TensorArg inverse = h.given({}, {0.5}), scale = h.given({}, {8}),
            tracker = h.given(DType::i32, {}, {3});
  h.op("_amp_foreach_non_finite_check_and_unscale_")
      .tensors({g})
      .tensor(found)
      .tensor(inverse)
      .out({g, found});
  h.op("_amp_update_scale_")
      .tensor(scale)
      .tensor(tracker)
      .tensor(found)
      .scalar(2)
      .scalar(0.5)
      .integer(4)
      .out({scale, tracker});
  h.run({g.slot, found.slot, scale.slot, tracker.slot});
  CHECK(h.values(g)[0] == 1);
  check_close(h.values(found), {1}, 0);
  check_close(h.values(scale), {4}, 0);
  check_close(h.values(tracker), {0}, 0);
}

}  // namespace
}  // namespace moai::testing
