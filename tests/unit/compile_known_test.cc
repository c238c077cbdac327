// Known programs: compiled and run they give what the evaluator gives, in the number of kernels
// they should.
#include <catch2/catch.hpp>

#include "codegen/canonicalize.h"
#include "tests/support/compile_graph.h"
#include "tests/support/recipe.h"

using namespace moai;
using ir::Input;
using ir::ValueId;
using test::Recipe;

namespace {

void check(Recipe& p, int kernels, double tolerance = 1e-5) {
  REQUIRE(p.b.status().to_string() == ok_status().to_string());
  CHECK(test::compare(p.g, tolerance) == "");
  CHECK(test::kernel_count(p.g) == kernels);
}

ValueId softmax(Recipe& p, ValueId x) {
  int last = p.b.shape(x).rank() - 1;
  ValueId m = p.like(p.b.reduce_keep(ReduceKind::max, x, Shape{last}), x);
  ValueId e = p.b.unary(Prim::exp, p.sub(x, m));
  return p.div(e, p.like(p.b.reduce_keep(ReduceKind::sum, e, Shape{last}), x));
}

struct Norm {
  ValueId y, mean, rstd;
};
Norm layer_norm(Recipe& p, ValueId x, ValueId w, ValueId bias) {
  int last = p.b.shape(x).rank() - 1;
  double n = static_cast<double>(p.b.shape(x).back());
  ValueId mean = p.times(p.b.reduce_keep(ReduceKind::sum, x, Shape{last}), 1 / n);
  ValueId centered = p.sub(x, p.like(mean, x));
  ValueId var =
      p.times(p.b.reduce_keep(ReduceKind::sum, p.mul(centered, centered), Shape{last}), 1 / n);
  ValueId rstd = p.b.unary(Prim::rsqrt, p.add(var, p.full(1e-5, var)));
  ValueId y = p.add(p.mul(p.mul(centered, p.like(rstd, x)), p.like(w, x)), p.like(bias, x));
  return {y, mean, rstd};
}

ValueId gelu(Recipe& p, ValueId x) {
  ValueId e = p.b.unary(Prim::erf, p.times(x, 0.70710678118654752));
  return p.mul(p.times(x, 0.5), p.add(e, p.full(1, x)));
}

}  // namespace

TEST_CASE("A pointwise chain with broadcasts is one kernel") {
  Recipe p;
  ValueId x = p.input({4, 3, 5}), bias = p.input({5}), scale = p.input({3, 1});
  p.output(p.b.unary(Prim::tanh, p.mul(p.add(x, p.like(bias, x)), p.like(scale, x))));
  check(p, 1);
}

TEST_CASE("softmax is one kernel") {
  Recipe p;
  p.output(softmax(p, p.input({6, 17})));
  check(p, 1);
}

TEST_CASE("layer_norm that keeps mean and rstd is one kernel") {
  Recipe p;
  Norm n = layer_norm(p, p.input({3, 4, 9}), p.input({9}), p.input({9}));
  p.output(n.y), p.output(n.mean), p.output(n.rstd);
  check(p, 1);
}

TEST_CASE("Bias and gelu after a contraction are one kernel") {
  Recipe p;
  ValueId y = p.b.matmul(p.input({5, 7}), p.b.transpose(p.input({6, 7}), Shape{1, 0}));
  p.output(gelu(p, p.add(y, p.like(p.input({6}), y))));
  check(p, 2);
}

TEST_CASE("layer_norm backward: dx, and both weight gradients in one pass") {
  Recipe p;
  ValueId x = p.input({8, 9}), dy = p.input({8, 9}), w = p.input({9});
  ValueId mean = p.input({8, 1}), rstd = p.input({8, 1});
  ValueId xhat = p.mul(p.sub(x, p.like(mean, x)), p.like(rstd, x));
  ValueId g = p.mul(dy, p.like(w, x));
  ValueId a = p.times(p.b.reduce_keep(ReduceKind::sum, g, Shape{1}), 1.0 / 9);
  ValueId c = p.times(p.b.reduce_keep(ReduceKind::sum, p.mul(g, xhat), Shape{1}), 1.0 / 9);
  ValueId inner = p.sub(p.sub(g, p.like(a, x)), p.mul(xhat, p.like(c, x)));
  p.output(p.mul(inner, p.like(rstd, x)));
  p.output(p.b.reduce(ReduceKind::sum, p.mul(dy, xhat), Shape{0}));
  p.output(p.b.reduce(ReduceKind::sum, dy, Shape{0}));
  check(p, 2);
}

TEST_CASE("Bias corrections of a step counter are made inside the update") {
  Recipe p;
  ValueId w = p.input({33}), g = p.input({33}), step = p.b.reshape(p.input({1}), {});
  ValueId beta = p.b.constant(0.9, DType::f32), one = p.b.constant(1, DType::f32);
  ValueId next = p.add(p.b.unary(Prim::abs, step), one);
  ValueId correction = p.sub(one, p.b.binary(Prim::pow, beta, next));
  p.g.set_output(0, p.sub(w, p.div(g, p.like(correction, w))));
  check(p, 1);
}

TEST_CASE("AdamW on one tensor is one kernel, in place") {
  Recipe p;
  ValueId w = p.input({33}), grad = p.input({33}), m = p.input({33}), v = p.input({33});
  ValueId lr = p.b.convert(p.real(0), DType::f32), c2 = p.b.convert(p.real(1), DType::f32);
  ValueId m2 = p.add(p.times(m, 0.9), p.times(grad, 0.1));
  ValueId v2 = p.add(p.times(v, 0.999), p.times(p.mul(grad, grad), 0.001));
  ValueId decayed = p.mul(
      w,
      p.like(p.sub(p.full(1, lr), p.b.binary(Prim::mul, lr, p.b.constant(0.01, DType::f32))), w));
  ValueId root = p.b.unary(Prim::sqrt, p.b.unary(Prim::abs, p.div(v2, p.like(p.mul(c2, c2), v2))));
  ValueId w2 = p.sub(decayed, p.mul(p.like(lr, w), p.div(m2, p.add(root, p.full(1e-8, root)))));
  p.g.set_output(0, w2), p.g.set_output(2, m2), p.g.set_output(3, v2);
  check(p, 1);
}

TEST_CASE("cross entropy forward and backward") {
  Recipe p;
  ValueId x = p.input({4, 11}), target = p.input({4, 1}, DType::i64);
  ValueId m = p.like(p.b.reduce_keep(ReduceKind::max, x, Shape{1}), x);
  ValueId s = p.b.reduce_keep(ReduceKind::sum, p.b.unary(Prim::exp, p.sub(x, m)), Shape{1});
  ValueId logp = p.sub(p.sub(x, m), p.like(p.b.unary(Prim::log, s), x));
  ValueId picked = p.b.take_along(logp, target, 1);
  p.output(p.b.reduce(ReduceKind::sum, p.times(picked, -0.25), Shape{0, 1}));
  ValueId hot = p.b.binary(Prim::eq, p.b.iota(1, DType::i64, Shape{4, 11}), p.like(target, x));
  p.output(p.times(p.sub(p.b.unary(Prim::exp, logp), p.b.convert(hot, DType::f32)), 0.25));
  check(p, 4);
}

TEST_CASE("batch norm over N, H, W takes a row pass and a column pass") {
  Recipe p;
  ValueId x = p.input({3, 4, 2, 5});
  ValueId sum = p.b.reduce_keep(ReduceKind::sum, x, Shape{0, 2, 3});
  ValueId centered = p.sub(x, p.like(p.times(sum, 1.0 / 30), x));
  ValueId var = p.b.reduce_keep(ReduceKind::sum, p.mul(centered, centered), Shape{0, 2, 3});
  ValueId rstd = p.b.unary(Prim::rsqrt, p.add(p.times(var, 1.0 / 30), p.full(1e-5, var)));
  p.output(p.mul(centered, p.like(rstd, x)));
  check(p, 5);
}

TEST_CASE("A chain of update_slice on a storage stays in its block") {
  Recipe p;
  ValueId cache = p.input({6, 4});
  ValueId one = p.input({1, 4}), two = p.input({2, 4});
  ValueId a = p.b.update_slice(cache, one, Shape{1, 0}, Shape{1, 1});
  ValueId c = p.b.update_slice(a, p.times(two, 2), Shape{3, 0}, Shape{2, 1});
  p.g.set_output(0, c);
  check(p, 2);
}

TEST_CASE("An update that reads its base elsewhere keeps the old version") {
  Recipe p;
  ValueId x = p.input({8});
  ValueId shifted = p.b.slice(x, Shape{0}, Shape{1}, Shape{7});
  p.g.set_output(0, p.b.update_slice(x, shifted, Shape{1}, Shape{1}));
  check(p, 3);
}

TEST_CASE("Reading the old version of an updated storage") {
  Recipe p;
  ValueId w = p.input({5, 5}), x = p.input({5, 5});
  p.g.set_output(0, p.sub(w, x));
  p.output(p.b.matmul(w, x));
  check(p, 3);
}

TEST_CASE("Two storages swap their contents") {
  Recipe p;
  ValueId a = p.input({4}), c = p.input({4});
  p.g.set_output(0, c), p.g.set_output(1, a);
  check(p, 3);
}

TEST_CASE("concat of equal parts with producers is one kernel, of others a kernel a part") {
  Recipe p;
  ValueId x = p.input({3, 8});
  ValueId lo = p.b.slice(x, Shape{0, 0}, Shape{1, 1}, Shape{3, 4}),
          hi = p.b.slice(x, Shape{0, 4}, Shape{1, 1}, Shape{3, 4});
  ValueId parts[] = {p.b.unary(Prim::neg, hi), lo};
  p.output(p.b.concat(parts, 1));
  check(p, 1);
  Recipe q;
  ValueId others[] = {q.input({2, 3}), q.input({2, 1}), q.input({2, 5})};
  q.output(q.b.concat(others, 1));
  check(q, 3);
}

TEST_CASE("pad with edges, crops and interior") {
  Recipe p;
  ValueId x = p.input({3, 4}), zero = p.b.constant(0.5, DType::f32);
  p.output(p.b.pad(p.b.unary(Prim::exp, x), zero, Shape{1, -1}, Shape{0, 2}, Shape{2, 1}));
  p.output(p.b.pad(x, zero, Shape{-1, 0}, Shape{-1, 0}, Shape{0, 0}));
  check(p, 3);
}

TEST_CASE("Heads fold into the contraction") {
  Recipe p;
  ValueId q = p.input({2, 3, 4, 5}), k = p.input({2, 3, 4, 5});  // batch, time, heads, width
  ValueId qh = p.b.reshape(p.b.transpose(q, Shape{0, 2, 1, 3}), Shape{8, 3, 5});
  ValueId kh = p.b.reshape(p.b.transpose(k, Shape{0, 2, 3, 1}), Shape{8, 5, 3});
  ValueId scores = softmax(p, p.times(p.b.matmul(qh, kh), 0.4));
  ValueId vh = p.b.reshape(p.b.transpose(p.input({2, 3, 4, 5}), Shape{0, 2, 1, 3}), Shape{8, 3, 5});
  ValueId o = p.b.reshape(p.b.matmul(scores, vh), Shape{2, 4, 3, 5});
  p.output(p.b.reshape(p.b.transpose(o, Shape{0, 2, 1, 3}), Shape{2, 3, 20}));
  check(p, 4);
}

TEST_CASE("Dropout masks are made again, not stored") {
  Recipe p;
  ValueId key = p.g.add_input(Input::Kind::scalar_int, 0, {DType::i64, {}});
  ValueId offset = p.g.add_input(Input::Kind::scalar_int, 1, {DType::i64, {}});
  ValueId x = p.input({4, 6}), w = p.input({6, 6});
  auto drop = [&](ValueId v) {
    ValueId mask =
        p.b.binary(Prim::ge, p.b.rng_uniform(key, offset, DType::f32, Shape{4, 6}), p.full(0.3, x));
    return p.b.select(mask, v, p.full(0, v));
  };
  ValueId y = p.b.matmul(drop(x), w);
  p.output(y);
  p.output(drop(p.b.matmul(y, w)));
  check(p, 4);
}

TEST_CASE("Narrow floats round after every op, fused or not") {
  Recipe p;
  ValueId x = p.input({3, 7}, DType::bf16), y = p.input({3, 7}, DType::bf16);
  ValueId s = p.add(p.mul(x, y), y);
  p.output(softmax(p, p.b.convert(s, DType::f32)));
  p.output(s);
  check(p, 1, 1e-6);
}

TEST_CASE("A concat of values that are made here copies nothing") {
  Recipe p;
  ValueId x = p.input({5, 4});
  std::vector<ValueId> parts;
  for (int i = 0; i < 5; i++) {
    // Each is also read by itself.
    parts.push_back(p.b.matmul(parts.empty() ? x : parts.back(), p.input({4, 4})));
  }
  p.output(p.b.concat(parts, 0));
  check(p, 5);
  Recipe q;  // an input and a value that is in the list twice are copied
  ValueId y = q.b.unary(Prim::exp, q.input({2, 4}));
  ValueId others[] = {q.input({2, 4}), y, q.input({2, 4}), y, q.b.unary(Prim::neg, y)};
  q.output(q.b.concat(others, 0));
  check(q, 5);
  Recipe odd;  // parts lie at any element, so that the length of the first decides nothing
  ValueId rows = odd.b.matmul(odd.input({3, 4}), odd.input({4, 3}));
  ValueId more[] = {rows, odd.b.matmul(odd.input({2, 3}), rows)};
  odd.output(odd.b.concat(more, 0));
  check(odd, 2);
}

namespace {

// A recurrent layer h = tanh(x W' + h U' + b) over `steps`, and the gradients of everything.
struct Recurrent {
  Recipe p;
  std::vector<ValueId> hidden, grads;
  ValueId w, u, x;
};
Recurrent recurrent(int steps, int rows, int width) {
  Recurrent r;
  Recipe& p = r.p;
  r.x = p.input({steps * rows, width});
  r.w = p.input({width, width}), r.u = p.input({width, width});
  ValueId bias = p.input({width}), h = p.input({rows, width});
  auto step = [&](ValueId v, int t) {
    return p.b.slice(v, Shape{t * rows, 0}, Shape{1, 1}, Shape{rows, width});
  };
  auto turned = [&](ValueId v) { return p.b.transpose(v, Shape{1, 0}); };
  for (int t = 0; t < steps; t++) {
    r.hidden.push_back(h);
    ValueId sum = p.add(p.b.matmul(step(r.x, t), turned(r.w)), p.b.matmul(h, turned(r.u)));
    h = p.b.unary(Prim::tanh, p.add(sum, p.like(bias, sum)));
    r.hidden.push_back(h);
  }
  ValueId dw = ValueId::none, du = dw, db = dw, dh = p.input({rows, width});
  for (int t = steps; t-- > 0;) {
    size_t at = static_cast<size_t>(2 * t);
    ValueId y = r.hidden[at + 1], d = p.mul(dh, p.sub(p.full(1, y), p.mul(y, y)));
    ValueId parts[] = {p.b.matmul(turned(d), step(r.x, t)), p.b.matmul(turned(d), r.hidden[at]),
                       p.b.reduce(ReduceKind::sum, d, Shape{0})};
    dw = t == steps - 1 ? parts[0] : p.add(dw, parts[0]);
    du = t == steps - 1 ? parts[1] : p.add(du, parts[1]);
    db = t == steps - 1 ? parts[2] : p.add(db, parts[2]);
    dh = p.b.matmul(d, r.u);
    r.grads.push_back(p.b.matmul(d, r.w));
  }
  for (ValueId v : {h, dw, du, db}) p.output(v);
  for (ValueId v : r.grads) p.output(v);
  return r;
}

int dots_in(const ir::Graph& g) {
  int n = 0;
  for (const ir::Node& node : g.nodes()) n += node.op == Prim::dot_general;
  return n;
}

}  // namespace

TEST_CASE("The products of a recurrent layer that do not wait for each other are one") {
  for (int steps : {1, 3, 4, 9}) {
    Recurrent r = recurrent(steps, 3, 5);
    INFO(steps << " steps");
    REQUIRE(r.p.b.status().ok());
    CHECK(test::compare(r.p.g, 1e-4) == "");
    // The hidden products stay: forward and backward; then inputs, their gradients, two weights.
    int waiting = 2 * steps;
    int merged = steps >= 4 ? 4 : 4 * steps;
    CHECK(dots_in(codegen::canonicalize(r.p.g)) <= waiting + merged);
    if (steps >= 4) CHECK(dots_in(codegen::canonicalize(r.p.g)) >= 2 * (steps - 1) + 4);
  }
}

TEST_CASE("Narrow products that are widened, turned back and added are one") {
  constexpr int kSteps = 6;
  for (bool is_read : {false, true})
    for (bool is_turned : {false, true}) {
      Recipe p;
      ValueId sum = ValueId::none;
      const auto turned = [&](ValueId v) { return p.b.transpose(v, Shape{1, 0}); };
      for (int t = 0; t < kSteps; t++) {
        const ValueId d = p.input({3, 5}, DType::bf16), x = p.input({3, 5}, DType::bf16);
        const ValueId product = p.b.matmul(turned(d), x);
        if (is_read) p.output(product);
        ValueId term = p.b.convert(turned(product), DType::f32);
        if (!is_turned) term = turned(term);
        sum = t == 0 ? term : p.add(sum, term);
      }
      p.output(sum);
      REQUIRE(p.b.status().ok());
      INFO("read " << is_read << ", turned " << is_turned);
      CHECK(test::compare(p.g, 5e-2) == "");
      // One that is read elsewhere, or whose sum is turned, stays.
      CHECK(dots_in(codegen::canonicalize(p.g)) == (is_read || is_turned ? kSteps : 1));
    }
}

TEST_CASE(
    "Layers that read one value are not joined: their weights differ in size, and are inputs") {
  Recipe p;
  ValueId x = p.b.unary(Prim::tanh, p.input({6, 5}));
  for (int64_t width : {4, 2, 4, 3, 4, 4})
    p.output(p.b.matmul(x, p.b.transpose(p.input({width, 5}), Shape{1, 0})));
  check(p, 7);
}

TEST_CASE("Products of one value with others of several sizes are joined size by size") {
  Recipe p;
  ValueId w = p.input({5, 3});
  for (int64_t rows : {2, 4, 2, 2, 4, 2, 3})
    p.output(p.b.matmul(p.b.unary(Prim::tanh, p.input({rows, 5})), w));
  REQUIRE(p.b.status().ok());
  CHECK(test::compare(p.g, 1e-5) == "");
  CHECK(dots_in(codegen::canonicalize(p.g)) == 4);
}

TEST_CASE("Products that wait for each other in a circle of groups stay apart") {
  // a1 -> b1 and b2 -> a2: neither pair of products can be one before the other.
  Recipe p;
  ValueId w = p.input({4, 4}), v = p.input({4, 4});
  std::vector<ValueId> out;
  for (int i = 0; i < 8; i++) {
    ValueId first = p.b.matmul(p.input({2, 4}), i % 2 ? v : w);
    out.push_back(p.b.matmul(p.b.unary(Prim::tanh, first), i % 2 ? w : v));
  }
  for (ValueId o : out) p.output(o);
  check(p, test::kernel_count(p.g));
}

TEST_CASE("A convolution reads every other part of wider elements") {
  Recipe p;
  ValueId pairs = p.b.reshape(p.input({32}, DType::i64), {1, 2, 16});
  ValueId words = p.b.bitcast(pairs, DType::i32);
  ValueId odd = p.b.slice(words, {0, 0, 1}, {1, 1, 4}, {1, 2, 8});
  ValueId x = p.b.bitcast(p.b.reshape(odd, {1, 2, 8}), DType::f32);
  ConvAttrs attrs;
  attrs.stride = attrs.dilation = attrs.lhs_dilation = {1};
  attrs.pad_lo = attrs.pad_hi = {0};
  p.output(p.b.conv(x, p.input({3, 2, 2}), attrs));
  p.output(words);
  REQUIRE(p.b.status().to_string() == ok_status().to_string());
  CHECK(test::compare(p.g, 1e-5) == "");
}
