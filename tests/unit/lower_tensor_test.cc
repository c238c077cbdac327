// Reductions, products, indexing, sorting: values and edges.
#include <limits>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("sums, means and products over dimensions") {
  Harness h;
  TensorArg x = h.given({2, 3}, {1, 2, 3, 4, 5, 6}), m = h.given(DType::boolean, {3}, {1, 1, 0});
  TensorArg s = h.fresh(DType::f32, {2, 1}), all = h.fresh(DType::f32, {}),
            n = h.fresh(DType::i64, {});
  TensorArg mean = h.fresh(DType::f32, {3}), p = h.fresh(DType::f32, {2});
  h.op("sum.dim_IntList").tensor(x).integers({-1}).integer(1).none().out({s});
  h.op("sum.dim_IntList").tensor(x).none().integer(0).none().out({all});
  h.op("sum").tensor(m).none().out({n});
  h.op("mean.dim").tensor(x).integers({0}).integer(0).none().out({mean});
  h.op("prod.dim_int").tensor(x).integer(1).integer(0).none().out({p});
  h.run({s.slot, all.slot, n.slot, mean.slot, p.slot});
  check_close(h.values(s), {6, 15});
  check_close(h.values(all), {21});
  check_close(h.values(n), {2}, 0);
  check_close(h.values(mean), {2.5, 3.5, 4.5});
  check_close(h.values(p), {6, 120});
}

TEST_CASE("extremes with indices, NaN first") {
  Harness h;
  TensorArg x = h.given({2, 3}, {1, 3, 3, kNan, 5, 6});
  TensorArg v = h.fresh(DType::f32, {2}), i = h.fresh(DType::i64, {2}), a = h.fresh(DType::i64, {});
  h.op("max.dim").tensor(x).integer(1).integer(0).out({v, i});
  h.op("argmax").tensor(x).none().integer(0).out({a});
  h.run({v.slot, i.slot, a.slot});
  check_close(h.values(v), {3, kNan}, 0);
  check_close(h.values(i), {1, 0}, 0);
  check_close(h.values(a), {3}, 0);
}

TEST_CASE("variance by correction, and norms of every order") {
  Harness h;
  TensorArg x = h.given({4}, {1, 2, 3, 6});
  TensorArg v = h.fresh(DType::f32, {}), m = h.fresh(DType::f32, {}),
            none = h.fresh(DType::f32, {});
  h.op("var_mean.correction").tensor(x).none().scalar_int(1).integer(0).out({v, m});
  h.op("var.correction").tensor(x).integers({0}).scalar_int(4).integer(0).out({none});
  std::vector<uint32_t> live = {v.slot, m.slot, none.slot};
  std::vector<std::pair<TensorArg, double>> norms;
  for (auto [p, want] : {std::pair{2.0, 7.0710678},
                         {1.0, 12.0},
                         {0.0, 4.0},
                         {kInf, 6.0},
                         {-kInf, 1.0},
                         {3.0, 6.3163596}}) {
    for (bool is_lifted : {true, false}) {
      TensorArg n = h.fresh(DType::f32, {});
      auto op = h.op("linalg_vector_norm");
      op.tensor(x);
      is_lifted ? op.scalar(p) : op.real(p);
      op.none().integer(0).none().out({n});
      norms.emplace_back(n, want);
      live.push_back(n.slot);
    }
  }
  h.run(live);
  check_close(h.values(v), {4.6666667});
  check_close(h.values(m), {3});
  check_close(h.values(none), {kInf});
  for (auto& [n, want] : norms) check_close(h.values(n), {want});
}

TEST_CASE("products with beta and alpha") {
  Harness h;
  TensorArg a = h.given({2, 2}, {1, 2, 3, 4}), b = h.given({2, 2}, {1, 0, 0, 2}),
            c = h.given({2}, {10, kNan});
  TensorArg y = h.fresh(DType::f32, {2, 2}), z = h.fresh(DType::f32, {2, 2}),
            w = h.fresh(DType::f32, {2, 2});
  h.op("addmm").tensor(c).tensor(a).tensor(b).scalar(1).scalar(2).out({y});
  h.op("addmm").tensor(c).tensor(a).tensor(b).scalar(0).scalar(1).out({z});  // 0 hides NaN
  h.op("linear").tensor(a).tensor(a).none().out({w});
  h.run({y.slot, z.slot, w.slot});
  check_close(h.values(y), {12, kNan, 16, kNan});
  check_close(h.values(z), {1, 4, 3, 8});
  check_close(h.values(w), {5, 11, 11, 25});
}

TEST_CASE("scans") {
  Harness h;
  TensorArg x = h.given({2, 3}, {1, 3, 2, 4, 1, 5});
  TensorArg s = h.fresh(DType::f32, {2, 3}), v = h.fresh(DType::f32, {2, 3}),
            i = h.fresh(DType::i64, {2, 3});
  h.op("cumsum").tensor(x).integer(1).none().out({s});
  h.op("cummax").tensor(x).integer(1).out({v, i});
  h.run({s.slot, v.slot, i.slot});
  check_close(h.values(s), {1, 4, 6, 4, 5, 10});
  check_close(h.values(v), {1, 3, 3, 4, 4, 5});
  check_close(h.values(i), {0, 1, 1, 0, 0, 2}, 0);
}

TEST_CASE("index and index_put with several tensors, negative indices and gaps") {
  Harness h;
  TensorArg x = h.given({2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  TensorArg i = h.given(DType::i64, {2}, {1, -2}), j = h.given(DType::i64, {2}, {0, -1});
  TensorArg near = h.fresh(DType::f32, {2, 2}), apart = h.fresh(DType::f32, {2, 3});
  TensorArg put = h.fresh(DType::f32, {2, 3, 2}), one = h.given({1}, {100});
  h.op("index.Tensor").tensor(x).tensors({i, j}).out({near});
  h.op("index.Tensor").tensor(x).tensors({i, std::nullopt, j}).out({apart});
  h.op("index_put").tensor(x).tensors({std::nullopt, i, j}).tensor(one).integer(1).out({put});
  h.run({near.slot, apart.slot, put.slot});
  check_close(h.values(near), {6, 7, 4, 5}, 0);
  check_close(h.values(apart), {6, 8, 10, 1, 3, 5}, 0);
  check_close(h.values(put), {0, 1, 102, 103, 4, 5, 6, 7, 108, 109, 10, 11}, 0);
}

TEST_CASE("a mask writes one value without knowing how often") {
  Harness h;
  TensorArg x = h.given({2, 2}, {1, 2, 3, 4}), m = h.given(DType::boolean, {2}, {0, 1});
  TensorArg v = h.given({}, {9});
  h.op("index_put").tensor(x).tensors({std::nullopt, m}).tensor(v).integer(0).out({x});
  check_close(h.result(x), {1, 9, 3, 9}, 0);
  Harness g;
  TensorArg y = g.given({4}, {1, 2, 3, 4}), k = g.given(DType::boolean, {4}, {0, 1, 0, 1});
  TensorArg z = g.fresh(DType::f32, {2});
  g.op("index.Tensor").tensor(y).tensors({k}).out({z});
  CHECK(g.status().code() == StatusCode::unimplemented);
}

TEST_CASE("scatters that reach a corner only") {
  Harness h;
  TensorArg x = h.given({2, 3}, {1, 2, 3, 4, 5, 6}), i = h.given(DType::i64, {1, 2}, {2, 2});
  TensorArg src = h.given({2, 2}, {10, 20, 30, 40}), y = h.fresh(DType::f32, {2, 3});
  TensorArg mean = h.fresh(DType::f32, {2, 3}), g = h.fresh(DType::f32, {1, 2});
  h.op("scatter_add").tensor(x).integer(1).tensor(i).tensor(src).out({y});
  h.op("scatter_reduce.two")
      .tensor(x)
      .integer(1)
      .tensor(i)
      .tensor(src)
      .text("mean")
      .integer(0)
      .out({mean});
  h.op("gather").tensor(x).integer(1).tensor(i).integer(0).out({g});
  h.run({y.slot, mean.slot, g.slot});
  check_close(h.values(y), {1, 2, 33, 4, 5, 6}, 0);
  check_close(h.values(mean), {1, 2, 15, 4, 5, 6}, 0);
  check_close(h.values(g), {3, 3}, 0);
}

TEST_CASE("cat skips the empty vector, gradients of views are amid zeros") {
  Harness h;
  TensorArg e = h.input(DType::f32, {0}), a = h.given({1, 2}, {1, 2}), b = h.given({1, 2}, {3, 4});
  TensorArg y = h.fresh(DType::f32, {2, 2}), g = h.given({2}, {5, 6});
  TensorArg sel = h.fresh(DType::f32, {3, 2}), sli = h.fresh(DType::f32, {5}),
            dia = h.fresh(DType::f32, {2, 3});
  h.op("cat").tensors({e, a, b}).integer(0).out({y});
  h.op("select_backward").tensor(g).integers({3, 2}).integer(0).integer(-1).out({sel});
  h.op("slice_backward")
      .tensor(g)
      .integers({5})
      .integer(0)
      .integer(1)
      .integer(5)
      .integer(3)
      .out({sli});
  h.op("diagonal_backward").tensor(g).integers({2, 3}).integer(1).integer(0).integer(1).out({dia});
  h.run({y.slot, sel.slot, sli.slot, dia.slot});
  check_close(h.values(y), {1, 2, 3, 4}, 0);
  check_close(h.values(sel), {0, 0, 0, 0, 5, 6}, 0);
  check_close(h.values(sli), {0, 5, 0, 0, 6}, 0);
  check_close(h.values(dia), {0, 5, 0, 0, 0, 6}, 0);
}

TEST_CASE("repeat, roll and flip") {
  Harness h;
  TensorArg x = h.given({2, 2}, {1, 2, 3, 4}), r = h.fresh(DType::f32, {4, 4});
  TensorArg rolled = h.fresh(DType::f32, {2, 2}), flipped = h.fresh(DType::f32, {2, 2});
  h.op("repeat").tensor(x).integers({2, 2}).out({r});
  h.op("roll").tensor(x).integers({1}).integers({}).out({rolled});
  h.op("flip").tensor(x).integers({-1}).out({flipped});
  h.run({r.slot, rolled.slot, flipped.slot});
  check_close(h.values(r), {1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}, 0);
  check_close(h.values(rolled), {4, 1, 2, 3}, 0);
  check_close(h.values(flipped), {2, 1, 4, 3}, 0);
}

TEST_CASE("sorting and searching") {
  Harness h;
  TensorArg x = h.given({4}, {3, kNan, 1, 3}), v = h.fresh(DType::f32, {4}),
            i = h.fresh(DType::i64, {4});
  TensorArg m = h.fresh(DType::f32, {}), n = h.given({4}, {4, 1, 3, 2});
  TensorArg rows = h.given({3}, {1, 3, 5}), at = h.fresh(DType::i64, {4});
  h.op("sort.stable").tensor(x).integer(1).integer(0).integer(1).out({v, i});
  h.op("median").tensor(n).out({m});
  h.op("searchsorted.Tensor")
      .tensor(rows)
      .tensor(n)
      .integer(0)
      .integer(0)
      .text("right")
      .none()
      .out({at});
  h.run({v.slot, i.slot, m.slot, at.slot});
  check_close(h.values(v), {kNan, 3, 3, 1}, 0);
  check_close(h.values(i), {1, 0, 3, 2}, 0);
  check_close(h.values(m), {2}, 0);
  check_close(h.values(at), {2, 1, 2, 1}, 0);
}

TEST_CASE("nonzero of a known size fills what is left") {
  Harness h;
  TensorArg x = h.given({2, 2}, {0, 1, 1, 0}), y = h.fresh(DType::i64, {3, 2});
  h.op("nonzero_static").tensor(x).integer(3).integer(-1).out({y});
  check_close(h.result(y), {0, 1, 1, 0, -1, -1}, 0);
}

}  // namespace
}  // namespace moai::testing
