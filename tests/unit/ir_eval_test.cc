// The reference evaluator where a device may differ first: NaN, wrapping, signs, shifts, nothing to
// reduce.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "src/ir/build.h"
#include "src/ir/eval.h"

namespace moai::ir {
namespace {

using enum DType;
using Reals = std::vector<double>;
using Whole = std::vector<int64_t>;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class Bench {
 public:
  Builder b{graph_};

  ValueId reals(const Reals& values, DType dtype = f32) {
    ValueId v = declare(values.size(), dtype);
    for (size_t i = 0; i < values.size(); i++)
      set_real(inputs_.back(), static_cast<int64_t>(i), values[i]);
    return v;
  }
  ValueId whole(const Whole& values, DType dtype = i32) {
    ValueId v = declare(values.size(), dtype);
    for (size_t i = 0; i < values.size(); i++)
      set_int(inputs_.back(), static_cast<int64_t>(i), values[i]);
    return v;
  }
  Tensor run(ValueId v) {
    INFO(b.status().message());
    REQUIRE(b.status().ok());
    Graph g = graph_;
    g.set_output(0, v);
    auto results = eval(g, inputs_);
    INFO(results.status().message());
    REQUIRE(results.ok());
    return (*results)[0];
  }
  Reals reals_of(ValueId v) {
    Tensor t = run(v);
    Reals out;
    for (int64_t i = 0; i < t.type.shape.numel(); i++) out.push_back(get_real(t, i));
    return out;
  }
  Whole whole_of(ValueId v) {
    Tensor t = run(v);
    Whole out;
    for (int64_t i = 0; i < t.type.shape.numel(); i++) out.push_back(get_int(t, i));
    return out;
  }
  Status refusal(ValueId v) {
    REQUIRE(b.status().ok());
    Graph g = graph_;
    g.set_output(0, v);
    return eval(g, inputs_).status();
  }

 private:
  ValueId declare(size_t count, DType dtype) {
    const Type type{dtype, {static_cast<int64_t>(count)}};
    inputs_.push_back({type, std::vector<std::byte>(type.bytes())});
    return graph_.add_input(Input::Kind::storage, static_cast<uint32_t>(inputs_.size() - 1), type);
  }
  Graph graph_;
  std::vector<Tensor> inputs_;
};

void same(const Reals& got, const Reals& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); i++) {
    INFO("element " << i << ": " << got[i] << ", want " << want[i]);
    CHECK((got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))));
  }
}

TEST_CASE("NaN wins a maximum, a minimum and a search; it is the largest when sorted") {
  Bench t;
  ValueId x = t.reals({1, kNan, kInf, -2}), y = t.reals({kNan, 0, kNan, -3});
  same(t.reals_of(t.b.binary(Prim::max, x, y)), {kNan, kNan, kNan, -2});
  same(t.reals_of(t.b.binary(Prim::min, x, y)), {kNan, kNan, kNan, -3});
  same(t.reals_of(t.b.reduce(ReduceKind::max, x, {0})), {kNan});
  CHECK(t.whole_of(t.b.arg_reduce(ReduceKind::max, x, 0)) == Whole{1});
  CHECK(t.whole_of(t.b.arg_reduce(ReduceKind::min, x, 0)) == Whole{1});
  auto [up, up_at] = t.b.sort(x, 0, false);
  same(t.reals_of(up), {-2, 1, kInf, kNan});
  CHECK(t.whole_of(up_at) == Whole{3, 0, 2, 1});
  same(t.reals_of(t.b.sort(x, 0, true).first), {kNan, kInf, 1, -2});
  same(t.reals_of(t.b.topk(x, 0, 2, true).first), {kNan, kInf});
  same(t.reals_of(t.b.scan(ReduceKind::max, x, 0)), {1, kNan, kNan, kNan});
  CHECK(t.whole_of(t.b.binary(Prim::ne, x, x)) == Whole{0, 1, 0, 0});
  CHECK(t.whole_of(t.b.binary(Prim::ge, x, y)) == Whole{0, 0, 0, 1});
}

TEST_CASE("equal elements: the first is found, sorts are stable") {
  Bench t;
  ValueId x = t.reals({2, 3, 3, 2});
  CHECK(t.whole_of(t.b.arg_reduce(ReduceKind::max, x, 0)) == Whole{1});
  CHECK(t.whole_of(t.b.arg_reduce(ReduceKind::min, x, 0)) == Whole{0});
  CHECK(t.whole_of(t.b.sort(x, 0, false).second) == Whole{0, 3, 1, 2});
  CHECK(t.whole_of(t.b.sort(x, 0, true).second) == Whole{1, 2, 0, 3});
  CHECK(t.whole_of(t.b.scan_arg(ReduceKind::max, x, 0).second) == Whole{0, 1, 2, 2});
}

TEST_CASE("integer division: toward zero, by zero 0, the smallest by -1 wraps") {
  Bench t;
  ValueId a = t.whole({7, -7, 7, -7, 5, INT64_MIN}, i64), b = t.whole({2, 2, -2, -2, 0, -1}, i64);
  CHECK(t.whole_of(t.b.binary(Prim::div, a, b)) == Whole{3, -3, -3, 3, 0, INT64_MIN});
  CHECK(t.whole_of(t.b.binary(Prim::rem, a, b)) == Whole{1, -1, 1, -1, 0, 0});
  CHECK(t.whole_of(t.b.unary(Prim::neg, a)) == Whole{-7, 7, -7, 7, -5, INT64_MIN});
  CHECK(t.whole_of(t.b.unary(Prim::abs, a)) == Whole{7, 7, 7, 7, 5, INT64_MIN});
  same(t.reals_of(t.b.binary(Prim::rem, t.reals({7, -7, kInf, 1}), t.reals({3, 3, 2, 0}))),
       {1, -1, kNan, kNan});
}

TEST_CASE("integers wrap at the width of their dtype") {
  Bench t;
  ValueId a = t.whole({127, -128, 100}, i8), b = t.whole({1, -1, 100}, i8);
  CHECK(t.whole_of(t.b.binary(Prim::add, a, b)) == Whole{-128, 127, -56});
  CHECK(t.whole_of(t.b.binary(Prim::mul, a, b)) == Whole{127, -128, 16});
  CHECK(t.whole_of(t.b.unary(Prim::neg, t.whole({1, 0}, u8))) == Whole{255, 0});
  CHECK(t.whole_of(t.b.binary(Prim::pow, t.whole({2, -1, 0, 3}), t.whole({-1, -3, 0, 20}))) ==
        Whole{0, -1, 1, static_cast<int32_t>(3486784401u)});
}

TEST_CASE("shifts by the width, by more and by less than nothing") {
  Bench t;
  ValueId a = t.whole({1, 1, 1, -8, -8, -8}), n = t.whole({31, 32, -1, 1, 40, -5});
  CHECK(t.whole_of(t.b.binary(Prim::shl, a, n)) == Whole{INT32_MIN, 0, 0, -16, 0, 0});
  CHECK(t.whole_of(t.b.binary(Prim::shr_a, a, n)) == Whole{0, 0, 0, -4, -1, -1});
}

TEST_CASE("what is empty gives the identity") {
  Bench t;
  auto of_nothing = [&](ReduceKind kind) { return t.b.reduce(kind, t.reals({}), {0}); };
  same(t.reals_of(of_nothing(ReduceKind::sum)), {0});
  same(t.reals_of(of_nothing(ReduceKind::prod)), {1});
  same(t.reals_of(of_nothing(ReduceKind::max)), {-kInf});
  same(t.reals_of(of_nothing(ReduceKind::min)), {kInf});
  same(t.reals_of(of_nothing(ReduceKind::logsumexp)), {-kInf});
  ValueId none = t.whole({}, boolean);
  CHECK(t.whole_of(t.b.reduce(ReduceKind::any, none, {0})) == Whole{0});
  CHECK(t.whole_of(t.b.reduce(ReduceKind::all, none, {0})) == Whole{1});
  CHECK(t.whole_of(t.b.reduce(ReduceKind::max, t.whole({}, i8), {0})) == Whole{-128});
  ValueId wide = t.b.reshape(t.reals({}), {0, 3});
  same(t.reals_of(t.b.reduce(ReduceKind::sum, wide, {0})), {0, 0, 0});
  CHECK(t.b.status().ok());
  t.b.arg_reduce(ReduceKind::max, t.reals({}), 0);
  CHECK(t.b.status().message() == "[arg_reduce] an empty axis has no largest or smallest element");
}

TEST_CASE("logsumexp neither overflows nor forgets infinities") {
  Bench t;
  ValueId x = t.b.reshape(t.reals({1000, 1000, -kInf, -kInf, kInf, 1}, f64), {3, 2});
  Reals got = t.reals_of(t.b.reduce(ReduceKind::logsumexp, x, {1}));
  CHECK(got[0] == Approx(1000 + std::log(2.0)));
  CHECK(got[1] == -kInf);
  CHECK(got[2] == kInf);
}

TEST_CASE("an index outside is an error, or clipped when bounds say so") {
  Bench t;
  ValueId x = t.reals({10, 20, 30}), at = t.whole({0, 3, -1}, i64);
  same(t.reals_of(t.b.gather(x, at, 0, Bounds::clip)), {10, 30, 10});
  Status s = t.refusal(t.b.gather(x, at, 0));
  CHECK(s.code() == StatusCode::out_of_range);
  CHECK(s.message().rfind("[gather] ", 0) == 0);
}

TEST_CASE("a scatter takes updates in order") {
  Bench t;
  ValueId base = t.reals({1, 2, 3}), at = t.whole({1, 1, 2}, i64), u = t.reals({10, 5, -4});
  same(t.reals_of(t.b.scatter(ScatterKind::set, base, at, u, 0)), {1, 5, -4});
  same(t.reals_of(t.b.scatter(ScatterKind::add, base, at, u, 0)), {1, 17, -1});
  same(t.reals_of(t.b.scatter(ScatterKind::mul, base, at, u, 0)), {1, 100, -12});
  same(t.reals_of(t.b.scatter(ScatterKind::max, base, at, u, 0)), {1, 10, 3});
}

TEST_CASE("conversions: toward zero, to bool by truth, f16 and bf16 to nearest even") {
  Bench t;
  ValueId x = t.reals({-2.7, 0.5, 3.99});
  CHECK(t.whole_of(t.b.convert(x, i32)) == Whole{-2, 0, 3});
  same(t.reals_of(t.b.convert(t.reals({1 + 1.0 / 256, 1 + 3.0 / 256, 1e39, 65520}, f64), bf16)),
       {1, 1 + 4.0 / 256, kInf, 65536});
  same(t.reals_of(t.b.convert(t.reals({2049, 2051, 65520, 5.9e-8}), f16)),
       {2048, 2052, kInf, 5.9604644775390625e-8});
}

TEST_CASE("padding crops, dilates and fills") {
  Bench t;
  ValueId x = t.reals({1, 2, 3}), v = t.b.reshape(t.reals({9}), {});
  same(t.reals_of(t.b.pad(x, v, {1}, {-1}, {1})), {9, 1, 9, 2, 9});
  same(t.reals_of(t.b.pad(x, v, {-2}, {1}, {0})), {3, 9});
}

}  // namespace
}  // namespace moai::ir
