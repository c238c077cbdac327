// Attention against a plain formula, its gradients against finite differences: grouped heads, bias,
// causal masks.
#include <array>

#include "tests/support/finite_difference.h"

namespace moai::testing {
namespace {

constexpr double kFine = 1e-9, kDifference = 1e-6;

struct Sizes {
  int batch, heads, groups, queries, keys, width, depth;  // depth: of the values
  bool is_causal;
  double scale;
  Shape q() const { return {batch, heads, queries, width}; }
  Shape k() const { return {batch, groups, keys, width}; }
  Shape v() const { return {batch, groups, keys, depth}; }
  Shape out() const { return {batch, heads, queries, depth}; }
};

// q, k, v and a bias [1, heads, 1, keys] or nothing.
Values attention_plain(const Sizes& s, const std::vector<Values>& in) {
  const Values &q = in[0], &k = in[1], &v = in[2];
  Values out(static_cast<size_t>(s.out().numel()));
  for (int row = 0; row < s.batch * s.heads * s.queries; row++) {
    const int i = row % s.queries, head = row / s.queries % s.heads, b = row / s.queries / s.heads;
    const int group = b * s.groups + head / (s.heads / s.groups);
    Values p(static_cast<size_t>(s.keys));
    double sum = 0;
    for (int j = 0; j < s.keys; j++) {
      double score = 0;
      for (int e = 0; e < s.width; e++)
        score += q[static_cast<size_t>(row * s.width + e)] *
                 k[static_cast<size_t>((group * s.keys + j) * s.width + e)];
      score *= s.scale;
      if (in.size() > 3) score += in[3][static_cast<size_t>(head * s.keys + j)];
      const bool is_hidden = s.is_causal && j > i;
      sum += p[static_cast<size_t>(j)] = is_hidden ? 0 : std::exp(score);
    }
    for (int f = 0; f < s.depth; f++)
      for (int j = 0; j < s.keys; j++)
        out[static_cast<size_t>(row * s.depth + f)] +=
            p[static_cast<size_t>(j)] / sum *
            v[static_cast<size_t>((group * s.keys + j) * s.depth + f)];
  }
  return out;
}

// Forward and backward in one segment; results against the formula.
void check(const Sizes& s, bool has_bias, DType dtype, double fine, double difference) {
  Harness h;
  const Shape bias_shape{1, s.heads, 1, s.keys};
  std::vector<Shape> shapes = {s.q(), s.k(), s.v()};
  if (has_bias) shapes.push_back(bias_shape);
  std::vector<Values> in;
  std::vector<TensorArg> args, grads;
  for (size_t i = 0; i < shapes.size(); i++) {
    in.push_back(random_values(shapes[i].numel(), static_cast<uint32_t>(20 + i)));
    args.push_back(h.given(dtype, shapes[i], in.back()));
    grads.push_back(h.fresh(dtype, shapes[i]));
  }
  const Values g = random_values(s.out().numel(), 30);
  TensorArg grad = h.given(dtype, s.out(), g), out = h.fresh(dtype, s.out());
  TensorArg lse = h.fresh(DType::f32, {s.batch, s.heads, s.queries});
  auto forward = h.op("_scaled_dot_product_fused_attention_overrideable");
  for (size_t i = 0; i < 3; i++) forward.tensor(args[i]);
  has_bias ? forward.tensor(args[3]) : forward.none();
  forward.real(0).integer(s.is_causal).integer(0).real(s.scale);
  const std::optional<TensorArg> none;
  forward.out({out, lse, none, none, none, none, none, none});
  auto backward = h.op("_scaled_dot_product_fused_attention_overrideable_backward");
  backward.tensor(grad);
  for (size_t i = 0; i < 3; i++) backward.tensor(args[i]);
  has_bias ? backward.tensor(args[3]) : backward.none();
  backward.integers({1, 1, 1, has_bias})
      .tensor(out)
      .tensor(lse)
      .none()
      .none()
      .integer(s.queries)
      .integer(s.keys);
  backward.real(0).integer(s.is_causal).none().none().real(s.scale);
  backward.out({grads[0], grads[1], grads[2], has_bias ? std::optional(grads[3]) : none});
  std::vector<uint32_t> live = {out.slot};
  for (const TensorArg& t : grads) live.push_back(t.slot);
  h.run(live);
  check_close(h.values(out), attention_plain(s, in), fine);
  Formula f = [&](const std::vector<Values>& v) { return weighted(attention_plain(s, v), g); };
  for (size_t i = 0; i < grads.size(); i++) {
    INFO("gradient " << i);
    check_close(h.values(grads[i]), gradient_of(f, in, i), difference);
  }
}

const Sizes kPlain{2, 3, 3, 5, 7, 4, 3, false, 0.5}, kGrouped{1, 6, 2, 3, 5, 3, 5, false, 0.3},
    kCausal{2, 2, 1, 5, 5, 3, 2, true, 0.7}, kMoreKeys{1, 2, 2, 3, 7, 2, 3, true, 1};

TEST_CASE("attention written out in f64, with its gradients") {
  for (const Sizes& s : {kPlain, kGrouped, kCausal, kMoreKeys})
    for (bool has_bias : {false, true}) check(s, has_bias, DType::f64, kFine, kDifference);
}

TEST_CASE("attention kept whole in f32, with its gradients") {
  for (const Sizes& s : {kPlain, kGrouped, kCausal, kMoreKeys})
    for (bool has_bias : {false, true}) check(s, has_bias, DType::f32, 1e-5, 1e-4);
}

TEST_CASE("attention of rank 3 and dropout without a generator are refused") {
  for (bool is_flat : {true, false}) {
    Harness h;
    const Shape shape = is_flat ? Shape{2, 3, 4} : Shape{1, 2, 3, 4};
    TensorArg x = h.given(shape, Values(24, 1)), y = h.fresh(DType::f32, shape);
    h.op("_scaled_dot_product_fused_attention_overrideable")
        .tensor(x)
        .tensor(x)
        .tensor(x)
        .none()
        .real(is_flat ? 0 : 0.5)
        .integer(0)
        .integer(0)
        .none()
        .out({y});
    const std::string why = h.status().message();
    CHECK(why.find(is_flat ? "must have rank 4" : "dropout without a generator") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace moai::testing
