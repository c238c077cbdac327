// Convolution, pooling, padding and upsampling. Gradients of linear ops are tested as adjoints:
// <op(x), y> equals <x, gradient(y)> for any x and y.
#include <functional>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

using Call = std::function<void(SegmentBuilder::Op&)>;
using Values = std::vector<double>;

Values noise(const Shape& s, double phase) {
  Values v;
  for (int64_t i = 0; i < s.numel(); i++)
    v.push_back(std::sin(phase + 1.7 * static_cast<double>(i)));
  return v;
}

double inner(const Values& a, const Values& b) {
  double sum = 0;
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  return sum;
}

// Convolution arguments after the tensors.
struct Conv {
  const char* what;
  Shape x, w, y;
  std::vector<int64_t> stride, padding, dilation;
  bool is_transposed;
  std::vector<int64_t> output_padding;
  int64_t groups;
  void write(SegmentBuilder::Op& op) const {
    op.integers(stride).integers(padding).integers(dilation).integer(is_transposed);
    op.integers(output_padding).integer(groups);
  }
};

const Conv kConvs[] = {
    {"plain", {2, 3, 6, 5}, {4, 3, 3, 2}, {2, 4, 4, 4}, {1, 1}, {0, 0}, {1, 1}, false, {0, 0}, 1},
    {"strided", {2, 4, 8, 7}, {6, 2, 3, 3}, {2, 6, 4, 3}, {2, 3}, {1, 2}, {1, 2}, false, {0, 0}, 2},
    {"depthwise 1d", {2, 4, 9}, {4, 1, 3}, {2, 4, 4}, {2}, {1}, {2}, false, {0}, 4},
    {"3d",
     {1, 2, 4, 5, 4},
     {2, 2, 2, 3, 2},
     {1, 2, 3, 3, 5},
     {1, 2, 1},
     {0, 1, 1},
     {1},
     false,
     {0},
     1},
    {"transposed",
     {2, 4, 4, 5},
     {4, 3, 3, 2},
     {2, 6, 10, 15},
     {2, 3},
     {1, 0},
     {2, 1},
     true,
     {1, 2},
     2},
    {"cropped", {1, 2, 3, 3}, {2, 2, 1, 1}, {1, 2, 3, 3}, {2, 2}, {1, 1}, {1, 1}, true, {0, 0}, 1},
};

Values convolve(const Conv& k, const Values& x, const Values& w) {
  Harness h;
  TensorArg a = h.given(k.x, x), b = h.given(k.w, w), y = h.fresh(DType::f32, k.y);
  auto op = h.op("convolution");
  op.tensor(a).tensor(b).none();
  k.write(op);
  op.out({y});
  return h.result(y);
}

TEST_CASE("gradients of a convolution are its adjoints") {
  for (const Conv& k : kConvs) {
    INFO(k.what);
    const Values x = noise(k.x, 0), w = noise(k.w, 1), g = noise(k.y, 2);
    Harness h;
    TensorArg dy = h.given(k.y, g), a = h.given(k.x, x), b = h.given(k.w, w);
    TensorArg dx = h.fresh(DType::f32, k.x), dw = h.fresh(DType::f32, k.w);
    TensorArg db = h.fresh(DType::f32, {k.y[1]});
    auto op = h.op("convolution_backward");
    op.tensor(dy).tensor(a).tensor(b).integers({k.y[1]});
    k.write(op);
    op.integers({1, 1, 1}).out({dx, dw, db});
    h.run({dx.slot, dw.slot, db.slot});
    const double want = inner(convolve(k, x, w), g);
    CHECK(inner(x, h.values(dx)) == Approx(want).margin(1e-4));
    CHECK(inner(w, h.values(dw)) == Approx(want).margin(1e-4));
    double sum = 0, all = 0;
    for (double v : h.values(db)) sum += v;
    for (double v : g) all += v;
    CHECK(sum == Approx(all).margin(1e-4));
  }
}

TEST_CASE("convolution adds its bias to each channel") {
  Harness h;
  TensorArg x = h.given({1, 1, 3}, {1, 2, 4}), w = h.given({2, 1, 2}, {1, 10, -1, 1});
  TensorArg bias = h.given({2}, {100, 200}), y = h.fresh(DType::f32, {1, 2, 2});
  h.op("convolution")
      .tensor(x)
      .tensor(w)
      .tensor(bias)
      .integers({1})
      .integers({0})
      .integers({1})
      .integer(0)
      .integers({0})
      .integer(1)
      .out({y});
  check_close(h.result(y), {121, 142, 201, 202});
}

TEST_CASE("transposed convolution spreads the kernel by the stride") {
  Harness h;
  TensorArg x = h.given({1, 1, 2}, {1, 10}), w = h.given({1, 1, 3}, {1, 2, 3});
  TensorArg y = h.fresh(DType::f32, {1, 1, 5});
  h.op("convolution")
      .tensor(x)
      .tensor(w)
      .none()
      .integers({2})
      .integers({0})
      .integers({1})
      .integer(1)
      .integers({0})
      .integer(1)
      .out({y});
  check_close(h.result(y), {1, 2, 13, 20, 30});
}

TEST_CASE("convolution gradients that nobody wants are left out") {
  Harness h;
  TensorArg dy = h.given({1, 1, 2}, {1, 10}), x = h.given({1, 1, 3}, {1, 2, 4});
  TensorArg w = h.given({1, 1, 2}, {1, 3}), dw = h.fresh(DType::f32, {1, 1, 2});
  h.op("convolution_backward")
      .tensor(dy)
      .tensor(x)
      .tensor(w)
      .none()
      .integers({1})
      .integers({0})
      .integers({1})
      .integer(0)
      .integers({0})
      .integer(1)
      .integers({0, 1, 0})
      .out({std::nullopt, dw, std::nullopt});
  check_close(h.result(dw), {21, 42});
}

TEST_CASE("groups that do not divide the channels are refused") {
  Harness h;
  TensorArg x = h.given({1, 3, 3}, noise({1, 3, 3}, 0)), w = h.given({3, 1, 1}, {1, 2, 3});
  TensorArg y = h.fresh(DType::f32, {1, 3, 3});
  h.op("convolution")
      .tensor(x)
      .tensor(w)
      .none()
      .integers({1})
      .integers({0})
      .integers({1})
      .integer(0)
      .integers({0})
      .integer(2)
      .out({y});
  CHECK_FALSE(h.status().ok());
}

TEST_CASE("max pooling gives places in the plane and its gradient goes there") {
  Harness h;
  TensorArg x = h.given({1, 3, 3}, {1, 5, 2, 0, 3, 9, 4, 8, 7});
  TensorArg y = h.fresh(DType::f32, {1, 2, 2}), at = h.fresh(DType::i64, {1, 2, 2});
  TensorArg dy = h.given({1, 2, 2}, {1, 2, 3, 4}), dx = h.fresh(DType::f32, {1, 3, 3});
  h.op("max_pool2d_with_indices")
      .tensor(x)
      .integers({2, 2})
      .integers({1, 1})
      .integers({0, 0})
      .integers({1, 1})
      .integer(0)
      .out({y, at});
  h.op("max_pool2d_with_indices_backward")
      .tensor(dy)
      .tensor(x)
      .integers({2, 2})
      .integers({1, 1})
      .integers({0, 0})
      .integers({1, 1})
      .integer(0)
      .tensor(at)
      .out({dx});
  h.run({y.slot, at.slot, dx.slot});
  check_close(h.values(y), {5, 9, 8, 9});
  check_close(h.values(at), {1, 5, 7, 5});
  check_close(h.values(dx), {0, 1, 0, 0, 0, 6, 0, 3, 0});
}

// name(x, forward...) and name_backward(y, backward...) are adjoint.
void check_adjoint(const std::string& name, const Shape& from, const Shape& to, bool takes_self,
                   const Call& forward, const Call& backward) {
  INFO(name);
  const Values values = noise(from, 0), gradient = noise(to, 1);
  Harness h;
  TensorArg x = h.given(from, values), y = h.fresh(DType::f32, to);
  TensorArg dy = h.given(to, gradient), dx = h.fresh(DType::f32, from);
  auto there = h.op(name);
  there.tensor(x);
  forward(there);
  there.out({y});
  auto back = h.op(name + "_backward");
  back.tensor(dy);
  if (takes_self) back.tensor(x);
  backward(back);
  back.out({dx});
  h.run({y.slot, dx.slot});
  const double want = inner(h.values(y), gradient);
  CHECK(std::abs(want) > 1e-3);
  CHECK(inner(values, h.values(dx)) == Approx(want).margin(1e-4));
}

TEST_CASE("gradients of average pooling are its adjoints") {
  for (int64_t counts_padding : {0, 1}) {
    Call same = [&](SegmentBuilder::Op& op) {
      op.integers({3, 3})
          .integers({2, 2})
          .integers({1, 1})
          .integer(1)
          .integer(counts_padding)
          .none();
    };
    check_adjoint("avg_pool2d", {2, 3, 8, 7}, {2, 3, 5, 4}, true, same, same);
  }
  for (Shape to : {Shape{2, 4, 3}, Shape{2, 3, 5}, Shape{2, 1, 1}})
    check_adjoint(
        "_adaptive_avg_pool2d", {2, 8, 6}, to, true,
        [&](auto& op) {
          op.integers({to[1], to[2]});
        },
        [](auto&) {});
}

TEST_CASE("average pooling divides by the elements it counts") {
  for (int64_t counts_padding : {0, 1}) {
    Harness h;
    TensorArg x = h.given({1, 2, 2}, {1, 2, 3, 6}), y = h.fresh(DType::f32, {1, 2, 2});
    h.op("avg_pool2d")
        .tensor(x)
        .integers({2, 2})
        .integers({2, 2})
        .integers({1, 1})
        .integer(0)
        .integer(counts_padding)
        .none()
        .out({y});
    const double n = counts_padding ? 4 : 1;
    check_close(h.result(y), {1 / n, 2 / n, 3 / n, 6 / n});
  }
}

TEST_CASE("uneven adaptive pooling averages overlapping parts") {
  Harness h;
  TensorArg x = h.given({1, 1, 5}, {1, 2, 3, 4, 8}), y = h.fresh(DType::f32, {1, 1, 3});
  h.op("_adaptive_avg_pool2d").tensor(x).integers({1, 3}).out({y});
  check_close(h.result(y), {1.5, 3, 6});
}

TEST_CASE("gradients of upsampling are its adjoints") {
  const Shape from{1, 2, 3, 4}, to{1, 2, 5, 7};
  for (bool has_scale : {false, true}) {
    Call scales = [&](SegmentBuilder::Op& op) {
      if (has_scale)
        op.real(1.7).scalar(1.8);
      else
        op.none().none();
    };
    Call sizes = [](SegmentBuilder::Op& op) { op.integers({5, 7}).integers({1, 2, 3, 4}); };
    check_adjoint(
        "upsample_nearest2d", from, to, false,
        [&](auto& op) {
          op.integers({5, 7}), scales(op);
        },
        [&](auto& op) { sizes(op), scales(op); });
    for (int64_t aligns : {0, 1})
      check_adjoint(
          "upsample_bilinear2d", from, to, false,
          [&](auto& op) {
            op.integers({5, 7}).integer(aligns), scales(op);
          },
          [&](auto& op) { sizes(op), op.integer(aligns), scales(op); });
  }
}

TEST_CASE("bilinear upsampling meets the corners or the centres") {
  for (int64_t aligns : {0, 1}) {
    Harness h;
    TensorArg x = h.given({1, 1, 1, 2}, {0, 12}), y = h.fresh(DType::f32, {1, 1, 1, 4});
    h.op("upsample_bilinear2d").tensor(x).integers({1, 4}).integer(aligns).none().none().out({y});
    check_close(h.result(y), aligns ? Values{0, 4, 8, 12} : Values{0, 3, 9, 12});
  }
}

TEST_CASE("padding adds, crops and mirrors") {
  Harness h;
  TensorArg x = h.given({2, 3}, {1, 2, 3, 4, 5, 6});
  TensorArg y = h.fresh(DType::f32, {3, 3}), z = h.fresh(DType::f32, {2, 6});
  h.op("constant_pad_nd").tensor(x).integers({-1, 1, 0, 1}).scalar(9).out({y});
  h.op("reflection_pad1d").tensor(x).integers({2, 1}).out({z});
  h.run({y.slot, z.slot});
  check_close(h.values(y), {2, 3, 9, 5, 6, 9, 9, 9, 9});
  check_close(h.values(z), {3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5});
  Call sizes = [](SegmentBuilder::Op& op) { op.integers({2, 1, 3, 0}); };
  check_adjoint("reflection_pad2d", {2, 3, 4, 5}, {2, 3, 7, 8}, true, sizes, sizes);
}

}  // namespace
}  // namespace moai::testing
