// Pointwise ops: values where PyTorch's rules are easy to miss.
#include <limits>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
using Values = std::vector<double>;

int64_t size(const Values& v) { return static_cast<int64_t>(v.size()); }

Values unary(const char* name, const Values& x, DType in = DType::f32, DType out = DType::f32) {
  Harness h;
  TensorArg a = h.given(in, {size(x)}, x), y = h.fresh(out, {size(x)});
  h.op(name).tensor(a).out({y});
  return h.result(y);
}

Values binary(const char* name, const Values& x, const Values& y, DType in = DType::f32,
              DType out = DType::f32) {
  Harness h;
  TensorArg a = h.given(in, {size(x)}, x), b = h.given(in, {size(y)}, y);
  TensorArg z = h.fresh(out, {size(x)});
  h.op(name).tensor(a).tensor(b).out({z});
  return h.result(z);
}

TEST_CASE("integers become floats where PyTorch says so") {
  check_close(binary("div.Tensor", {7, -7}, {2, 2}, DType::i64), {3.5, -3.5});
  check_close(unary("sqrt", {4, 9}, DType::i32), {2, 3});
  check_close(unary("sigmoid", {0, 0}, DType::boolean), {0.5, 0.5});
  check_close(unary("floor", {3, -2}, DType::i64, DType::i64), {3, -2});
}

TEST_CASE("signs of quotients and remainders") {
  const Values a = {7, -7, 7, -7}, b = {3, 3, -3, -3};
  for (DType t : {DType::f32, DType::i64, DType::i32}) {
    check_close(binary("remainder.Tensor", a, b, t, t), {1, 2, -2, -1}, 0);
    check_close(binary("fmod.Tensor", a, b, t, t), {1, -1, 1, -1}, 0);
    check_close(binary("floor_divide", a, b, t, t), {2, -3, -3, 2}, 0);
  }
  check_close(binary("floor_divide", {1, -1, 0}, {0, 0, 0}), {kInf, -kInf, kNan}, 0);
  check_close(binary("floor_divide", {0.3, 2.0}, {0.1, 0.1}, DType::f64, DType::f64), {2, 19}, 0);
}

TEST_CASE("NaN, infinities and zero") {
  check_close(unary("sign", {-2, 0, kNan}), {-1, 0, 0}, 0);
  check_close(unary("relu", {-1, kNan, 2}), {0, kNan, 2}, 0);
  check_close(binary("maximum", {1, kNan}, {kNan, 1}), {kNan, kNan}, 0);
  check_close(binary("fmax", {1, kNan}, {kNan, 1}), {1, 1}, 0);
  check_close(unary("isinf", {kInf, -kInf, 1, kNan}, DType::f32, DType::boolean), {1, 1, 0, 0}, 0);
  check_close(binary("xlogy.Tensor", {0, 0, 2}, {0, kNan, 1}), {0, kNan, 0}, 0);
  check_close(binary("copysign.Tensor", {1, 2}, {-0.0, 3}), {-1, 2}, 0);
  check_close(binary("logaddexp", {-kInf, kInf, 0}, {-kInf, kInf, 0}), {-kInf, kInf, 0.6931472});
  check_close(unary("signbit", {-0.0, 0.0, -1}, DType::f32, DType::boolean), {1, 0, 1}, 0);
}

TEST_CASE("bool arithmetic") {
  Harness h;
  TensorArg a = h.given(DType::boolean, {3}, {1, 0, 1}),
            b = h.given(DType::boolean, {3}, {1, 0, 0});
  TensorArg sum = h.fresh(DType::boolean, {3}), product = h.fresh(DType::boolean, {3});
  h.op("add.Tensor").tensor(a).tensor(b).scalar_int(1).out({sum});
  h.op("mul.Tensor").tensor(a).tensor(b).out({product});
  h.run({sum.slot, product.slot});
  check_close(h.values(sum), {1, 0, 1}, 0);
  check_close(h.values(product), {1, 0, 0}, 0);
}

TEST_CASE("a number does not widen a tensor but its category may") {
  Harness h;
  TensorArg x = h.given(DType::i64, {2}, {1, 2}), half = h.given(DType::bf16, {1}, {1});
  TensorArg y = h.fresh(DType::f32, {2}), z = h.fresh(DType::bf16, {1});
  h.op("mul.Tensor").tensor(x).scalar(1.5).out({y});
  h.op("mul.Tensor").tensor(half).scalar(1.00390625).out({z});  // in f32, then rounded
  h.run({y.slot, z.slot});
  check_close(h.values(y), {1.5, 3}, 0);
  check_close(h.values(z), {1.0}, 0);
}

TEST_CASE("a dimensioned tensor decides over a 0-dim one") {
  Harness h;
  TensorArg x = h.given(DType::f16, {2}, {1, 2}), s = h.given(DType::f64, {}, {2});
  TensorArg y = h.fresh(DType::f16, {2}), z = h.fresh(DType::boolean, {2});
  h.op("mul.Tensor").tensor(x).tensor(s).out({y});
  h.op("gt.Tensor").tensor(x).tensor(s).out({z});
  h.run({y.slot, z.slot});
  check_close(h.values(y), {2, 4}, 0);
  check_close(h.values(z), {0, 0}, 0);
}

TEST_CASE("broadcasting, alpha and in-place results of a lower dtype") {
  Harness h;
  TensorArg x = h.given({2, 1}, {1, 2}), y = h.given({3}, {10, 20, 30});
  TensorArg z = h.fresh(DType::f32, {2, 3}), half = h.given(DType::f16, {3}, {1, 2, 3});
  h.op("add.Tensor").tensor(x).tensor(y).scalar(0.5).out({z});
  h.op("add.Tensor").tensor(half).tensor(y).scalar_int(1).out({half});
  h.run({z.slot, half.slot});
  check_close(h.values(z), {6, 11, 16, 7, 12, 17});
  check_close(h.values(half), {11, 22, 33});
}

TEST_CASE("what is not 0 is true") {
  check_close(binary("logical_and", {0.5, 0}, {-3, 1}, DType::f32, DType::boolean), {1, 0}, 0);
  Harness h;
  TensorArg x = h.given({3}, {0.5, 0, kNan}), y = h.fresh(DType::boolean, {3});
  h.op("_to_copy").tensor(x).dtype(DType::boolean).out({y});
  check_close(h.result(y), {1, 0, 1}, 0);
}

TEST_CASE("clamp, where and masked_fill") {
  Harness h;
  TensorArg x = h.given({4}, {-2, 0.5, 3, kNan}), m = h.given(DType::boolean, {4}, {1, 0, 0, 1});
  TensorArg a = h.fresh(DType::f32, {4}), b = h.fresh(DType::f32, {4}),
            c = h.fresh(DType::f32, {4});
  h.op("clamp").tensor(x).none().scalar_int(1).out({a});
  h.op("where.ScalarOther").tensor(m).tensor(x).scalar(9).out({b});
  h.op("masked_fill.Scalar").tensor(x).tensor(m).scalar(-kInf).out({c});
  h.run({a.slot, b.slot, c.slot});
  check_close(h.values(a), {-2, 0.5, 1, kNan}, 0);
  check_close(h.values(b), {-2, 9, 9, kNan}, 0);
  check_close(h.values(c), {-kInf, 0.5, 3, -kInf}, 0);
}

TEST_CASE("activations and their gradients") {
  const Values x = {-3, -1, 0, 2};
  check_close(unary("silu", x), {-0.1422776, -0.2689414, 0, 1.7615942});
  check_close(unary("gelu", x), {-0.0040497, -0.1586553, 0, 1.9544997});
  check_close(unary("hardswish", x), {0, -0.3333333, 0, 1.6666667});
  check_close(binary("tanh_backward", {1, 1}, {0.5, -0.25}), {0.75, 0.9375});
  check_close(binary("silu_backward", {1, 1}, {0, 2}), {0.5, 1.0907843});
  check_close(binary("hardswish_backward", {1, 1, 1}, {-3, 0, 3}), {0, 0.5, 1});
  Harness h;
  TensorArg g = h.given({3}, {1, 1, 1}), v = h.given({3}, {-1, 0, 1});
  TensorArg r = h.fresh(DType::f32, {3}), e = h.fresh(DType::f32, {3}),
            t = h.fresh(DType::f32, {3});
  h.op("threshold_backward").tensor(g).tensor(v).scalar_int(0).out({r});
  h.op("elu_backward")
      .tensor(g)
      .scalar_int(1)
      .scalar_int(1)
      .scalar_int(1)
      .integer(0)
      .tensor(v)
      .out({e});
  h.op("gelu_backward").tensor(g).tensor(v).text("tanh").out({t});
  h.run({r.slot, e.slot, t.slot});
  check_close(h.values(r), {0, 0, 1}, 0);
  check_close(h.values(e), {0.3678794, 1, 1});
  check_close(h.values(t), {-0.0829641, 0.5, 1.0829641});
}

TEST_CASE("powers") {
  Harness h;
  TensorArg x = h.given({3}, {-2, 3, 0}), n = h.given(DType::i32, {2}, {3, -2});
  TensorArg a = h.fresh(DType::f32, {3}), b = h.fresh(DType::f32, {3}),
            c = h.fresh(DType::i32, {2});
  h.op("pow.Tensor_Scalar").tensor(x).integer(2).out({a});
  h.op("pow.Tensor_Scalar").tensor(x).scalar(2).out({b});
  h.op("pow.Tensor_Scalar").tensor(n).scalar_int(3).out({c});
  h.run({a.slot, b.slot, c.slot});
  check_close(h.values(a), {4, 9, 0}, 0);
  check_close(h.values(b), {4, 9, 0});
  check_close(h.values(c), {27, -8}, 0);
}

TEST_CASE("factories take sizes and dtype from what the client allocated") {
  Harness h;
  TensorArg a = h.fresh(DType::i64, {3}), b = h.fresh(DType::f32, {5}),
            c = h.fresh(DType::f32, {2, 3});
  TensorArg d = h.given({2, 3}, {1, 2, 3, 4, 5, 6}), e = h.fresh(DType::f32, {2, 3});
  h.op("arange.start_step")
      .scalar_int(2)
      .scalar_int(11)
      .scalar_int(3)
      .dtype(DType::i64)
      .none()
      .integer(0)
      .none()
      .out({a});
  h.op("linspace").scalar(0).scalar(1).integer(5).none().none().none().none().out({b});
  h.op("eye.m").integer(2).integer(3).none().none().none().none().out({c});
  h.op("triu").tensor(d).integer(1).out({e});
  h.run({a.slot, b.slot, c.slot, e.slot});
  check_close(h.values(a), {2, 5, 8}, 0);
  check_close(h.values(b), {0, 0.25, 0.5, 0.75, 1}, 0);
  check_close(h.values(c), {1, 0, 0, 0, 1, 0}, 0);
  check_close(h.values(e), {0, 2, 3, 0, 0, 6}, 0);
}

}  // namespace
}  // namespace moai::testing
