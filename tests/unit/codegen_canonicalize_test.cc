// Each rule of canonicalize, by the ops that are left.
#include <catch2/catch.hpp>

#include "codegen/canonicalize.h"
#include "tests/support/recipe.h"

using namespace moai;
using ir::ValueId;
using test::Recipe;

namespace {

// Names of the ops that are left, in order.
std::string ops_of(const Recipe& p) {
  std::string out;
  ir::Graph g = codegen::canonicalize(p.g);
  for (const ir::Node& n : g.nodes())
    out += (out.empty() ? "" : " ") + std::string(info(n.op).name);
  return out;
}

}  // namespace

TEST_CASE("Dead and equal nodes go") {
  Recipe p;
  ValueId x = p.input({4});
  p.b.unary(Prim::exp, x);
  p.output(p.mul(p.b.unary(Prim::sin, x), p.b.unary(Prim::sin, x)));
  CHECK(ops_of(p) == "sin mul");
}

TEST_CASE("Random numbers of equal key and offset are one") {
  Recipe p;
  ValueId key = p.g.add_input(ir::Input::Kind::scalar_int, 0, {DType::i64, {}});
  ValueId a = p.b.rng_uniform(key, key, DType::f32, {4}),
          b = p.b.rng_uniform(key, key, DType::f32, {4});
  p.output(p.sub(a, b));
  CHECK(ops_of(p) == "rng_uniform sub");
}

TEST_CASE("Neutral operands go only where every bit stays") {
  Recipe p;
  ValueId x = p.input({4});
  p.output(p.add(p.sub(p.times(x, 1), p.full(0, x)), p.full(-0.0, x)));
  CHECK(ops_of(p) == "");
  Recipe q;
  ValueId y = q.input({4});
  q.output(q.add(y, q.full(0, y)));  // -0 + 0 is 0
  CHECK(ops_of(q) == "constant add");
}

TEST_CASE("Constants fold") {
  Recipe p;
  ValueId x = p.input({4});
  ValueId two = p.b.convert(p.b.constant_int(2, DType::i64), DType::f32);
  p.output(p.mul(x, p.like(p.mul(two, two), x)));
  CHECK(ops_of(p) == "constant mul");
}

TEST_CASE("Powers that PyTorch computes otherwise") {
  Recipe p;
  ValueId x = p.input({4});
  p.output(p.b.binary(Prim::pow, x, p.full(2, x)));
  p.output(p.b.binary(Prim::pow, x, p.full(0.5, x)));
  CHECK(ops_of(p) == "mul sqrt");
}

TEST_CASE("Exact conversions there and back go, others stay") {
  Recipe p;
  ValueId x = p.input({4}, DType::bf16);
  p.output(p.b.convert(p.b.convert(x, DType::f32), DType::bf16));
  CHECK(ops_of(p) == "");
  Recipe q;
  q.output(q.b.convert(q.b.convert(q.input({4}), DType::bf16), DType::f32));
  CHECK(ops_of(q) == "convert convert");
}

TEST_CASE("Chains of views become one") {
  Recipe p;
  ValueId x = p.input({2, 3, 4});
  p.output(p.b.transpose(p.b.transpose(x, {1, 2, 0}), {2, 0, 1}));
  CHECK(ops_of(p) == "reshape");
}

TEST_CASE("What slices alone read is made in their readers, through several steps") {
  Recipe p;
  ValueId x = p.b.convert(p.input({4, 8}, DType::bf16), DType::f32), y = p.input({4, 8});
  ValueId all = p.add(p.b.unary(Prim::neg, x), y);
  p.output(p.b.unary(Prim::exp, p.b.slice(all, {0, 0}, {1, 1}, {4, 3})));
  p.output(p.b.unary(Prim::sin, p.b.slice(all, {0, 3}, {1, 1}, {4, 5})));
  CHECK(ops_of(p) ==
        "reshape reshape slice convert neg slice add exp slice convert neg slice add sin");
}

TEST_CASE("A slice that is a part of what was joined is that part") {
  Recipe p;
  ValueId x = p.input({4, 3}), y = p.input({4, 5}), parts[] = {x, y};
  ValueId all = p.b.concat(parts, 1);
  p.output(p.b.unary(Prim::exp, p.b.slice(all, {0, 3}, {1, 1}, {4, 5})));
  CHECK(ops_of(p) == "reshape exp");
  Recipe q;
  ValueId z = q.input({4, 3}), both[] = {z, z};
  ValueId twice = q.b.concat(both, 1);
  q.output(q.b.unary(Prim::exp, q.b.slice(twice, {0, 2}, {1, 1}, {4, 3})));
  q.output(q.b.unary(Prim::sin, q.b.slice(twice, {0, 0}, {1, 2}, {4, 3})));
  CHECK(ops_of(q) == "reshape concat slice exp slice sin");
}

TEST_CASE("Pointwise ops run before their operands are broadcast") {
  Recipe p;
  ValueId x = p.input({4}), y = p.input({4});
  Shape big{3, 4};
  p.output(p.b.unary(Prim::exp, p.add(p.b.broadcast_to(x, big), p.b.broadcast_to(y, big))));
  CHECK(ops_of(p) == "add exp broadcast_in_dim");
}

TEST_CASE("A product that only an add reads becomes fma") {
  Recipe p;
  ValueId x = p.input({4}), y = p.input({4});
  p.output(p.add(p.mul(x, y), y));
  CHECK(ops_of(p) == "fma");
  Recipe q;
  ValueId a = q.input({4}), m = q.mul(a, a);
  q.output(q.add(m, a)), q.output(m);
  CHECK(ops_of(q) == "mul add");
  Recipe r;  // a narrow product is rounded before the add
  ValueId b = r.input({4}, DType::bf16);
  r.output(r.add(r.mul(b, b), b));
  CHECK(ops_of(r) == "mul add");
}

TEST_CASE("Reduces over axes that are apart take steps; a long one is cut in parts") {
  Recipe p;
  p.output(p.b.reduce(ReduceKind::sum, p.input({3, 4, 5}), {0, 2}));
  CHECK(ops_of(p) == "reshape reduce reduce");
  Recipe q;
  q.output(q.b.reduce(ReduceKind::sum, q.input({1 << 18}), {0}));
  CHECK(ops_of(q) == "reshape reduce reduce reshape");
  Recipe r;
  r.output(r.b.reduce(ReduceKind::max, r.b.transpose(r.input({3, 4}), {1, 0}), {0}));
  CHECK(ops_of(r) == "reshape reduce");
}

TEST_CASE("logsumexp is spelled out, so that it fuses") {
  Recipe p;
  p.output(p.b.reduce(ReduceKind::logsumexp, p.input({3, 4}), {1}));
  CHECK(ops_of(p).find("exp reduce log add") != std::string::npos);
}

TEST_CASE("Inputs stay, in order") {
  Recipe p;
  p.input({4});
  p.output(p.input({5}));
  ir::Graph g = codegen::canonicalize(p.g);
  REQUIRE(g.inputs().size() == 2);
  CHECK(g.inputs()[1].index == 1);
}
