// The graph: shape rules, the verifier's refusals, the text form of every primitive.
#include <catch2/catch.hpp>
#include <set>

#include "src/ir/build.h"
#include "src/ir/infer.h"
#include "src/ir/text.h"
#include "src/ir/verify.h"

namespace moai::ir {
namespace {

using enum DType;

// A graph under construction; inputs of any shape (a storage has rank 1).
struct Sheet {
  Graph graph;
  Builder b{graph};
  uint32_t slots = 0;

  ValueId input(const Shape& shape, DType dtype = f32) {
    ValueId flat = graph.add_input(Input::Kind::storage, slots++, {dtype, {shape.numel()}});
    return b.reshape(flat, shape);
  }
};

void add_pointwise(Sheet& s) {
  for (int p = 0; p < kPrimCount; p++) {
    const Prim op = static_cast<Prim>(p);
    if (!is_pointwise(op)) continue;
    const DType t = info(op).domain == Domain::integer ? i32 : f32;
    ValueId x = s.input({2, 3}, t), y = s.input({2, 3}, t), z = s.input({2, 3}, t);
    switch (info(op).operands) {
      case 1: s.b.unary(op, x); break;
      case 2: s.b.binary(op, x, y); break;
      default: s.b.ternary(op, op == Prim::select ? s.input({2, 3}, boolean) : x, y, z);
    }
  }
}

void add_data(Sheet& s) {
  ValueId x = s.input({2, 3}), v = s.b.constant(-2.5, f32, {});
  s.b.constant_int(INT64_MIN, i64, {2});
  s.b.iota(1, i32, {2, 3});
  s.b.convert(x, bf16);
  s.b.bitcast(x, u8);
  s.b.broadcast_in_dim(x, {2, 4, 3}, {0, 2});
  s.b.transpose(x, {1, 0});
  ValueId part = s.b.slice(x, {0, 1}, {1, 2}, {2, 1});
  s.b.update_slice(x, part, {0, 1}, {1, 1});
  s.b.pad(x, v, {1, -1}, {0, 2}, {1, 0});
  const ValueId parts[] = {x, x};
  s.b.concat(parts, 1);
  s.b.reverse(x, {0, 1});
}

void add_reductions(Sheet& s) {
  ValueId x = s.input({2, 3, 8});
  s.b.reduce(ReduceKind::logsumexp, x, {0, 2});
  s.b.arg_reduce(ReduceKind::min, x, 1);
  const WindowAttrs window{ReduceKind::sum, {3}, {2}, {2}, {1}, {0}};
  s.b.reduce_window(x, window);
  s.b.max_pool_idx(x, {ReduceKind::max, {2}, {2}, {1}, {0}, {0}});
  s.b.scan(ReduceKind::prod, x, 0);
  s.b.scan_arg(ReduceKind::max, x, 2);
}

void add_contractions(Sheet& s) {
  s.b.dot(s.input({5, 2, 3}), s.input({5, 3, 4}), {{0}, {0}, {2}, {1}});
  const ConvAttrs attrs{{2}, {1}, {0}, {2}, {1}, 2, true};
  ValueId x = s.input({2, 4, 9}), w = s.input({6, 2, 3});
  ValueId y = s.b.conv(x, w, attrs);
  s.b.conv_wgrad(x, y, attrs, {6, 2, 3});
}

void add_indexing(Sheet& s) {
  ValueId x = s.input({4, 3}), at = s.input({2}, i64), along = s.input({2, 3}, i32);
  s.b.gather(x, at, 0, Bounds::clip);
  s.b.scatter(ScatterKind::add, x, at, s.input({2, 3}), 0);
  s.b.take_along(x, along, 0);
  s.b.scatter_along(ScatterKind::max, x, along, s.input({2, 3}), 0);
  s.b.sort(x, 1, true);
  s.b.topk(x, 0, 2, false);
  s.b.nonzero(x, 5);
}

void add_random_and_attention(Sheet& s) {
  ValueId key = s.graph.add_input(Input::Kind::scalar_int, 0, {i64, {}});
  ValueId offset = s.graph.add_input(Input::Kind::scalar_int, 1, {i64, {}});
  s.b.rng_uniform(key, offset, f64, {3});
  s.b.rng_bits(key, offset, {2, 2});
  ValueId q = s.input({1, 4, 3, 8}), k = s.input({1, 2, 5, 8}), v = s.input({1, 2, 5, 6});
  const SdpaAttrs attrs{0.125, 0, true, false};
  const ValueId operands[] = {q, k, v};
  auto [o, lse] = s.b.sdpa(operands, attrs);
  const ValueId all[] = {s.input({1, 4, 3, 6}), q, k, v, o, lse};
  s.b.sdpa_bwd(all, attrs);
}

TEST_CASE("every primitive survives its text form") {
  Sheet s;
  for (auto add : {add_pointwise, add_data, add_reductions, add_contractions, add_indexing,
                   add_random_and_attention})
    add(s);
  INFO(s.b.status().message());
  REQUIRE(s.b.status().ok());
  std::set<std::string_view> met;
  for (const Node& n : s.graph.nodes()) met.insert(info(n.op).name);
  for (const OpInfo& op : kOps) {
    INFO(op.name << " is in no graph of this test");
    CHECK(met.count(op.name));
  }
  s.graph.set_output(7, s.graph.nodes().back().results[1]);
  CHECK(verify(s.graph).ok());
  const std::string text = print(s.graph);
  StatusOr<Graph> again = parse(text);
  INFO(again.status().message());
  REQUIRE(again.ok());
  CHECK(*again == s.graph);
  CHECK(print(*again) == text);
}

TEST_CASE("numbers of attributes come back bit by bit") {
  for (double v : {0.1, -0.0, 1e-310, 1.7976931348623157e308, static_cast<double>(INFINITY)}) {
    Sheet s;
    s.b.constant(v, f64);
    StatusOr<Graph> again = parse(print(s.graph));
    REQUIRE(again.ok());
    CHECK(*again == s.graph);
    const auto& a = std::get<ConstantAttrs>(again->nodes()[0].attrs);
    CHECK(std::signbit(a.f) == std::signbit(v));
  }
}

Shape shape_of(Sheet& s, ValueId v) {
  INFO(s.b.status().message());
  REQUIRE(s.b.status().ok());
  return s.b.shape(v);
}

TEST_CASE("shapes of results") {
  Sheet s;
  ValueId x = s.input({2, 3, 8});
  CHECK(shape_of(s, s.b.reduce(ReduceKind::sum, x, {0, 2})) == Shape{3});
  CHECK(shape_of(s, s.b.reduce_keep(ReduceKind::sum, x, {0, 2})) == Shape{1, 3, 1});
  CHECK(shape_of(s, s.b.arg_reduce(ReduceKind::max, x, 1)) == Shape{2, 8});
  // floor((8 + 1 + 0 - 2 * 2 - 1) / 2) + 1
  CHECK(shape_of(s, s.b.reduce_window(x, {ReduceKind::sum, {3}, {2}, {2}, {1}, {0}})) ==
        Shape{2, 3, 3});
  CHECK(shape_of(s, s.b.bitcast(x, i16)) == Shape{2, 3, 16});
  CHECK(shape_of(s, s.b.bitcast(x, f64)) == Shape{2, 3, 4});
  CHECK(shape_of(s, s.b.pad(s.input({4}), s.b.constant(0, f32), {-1}, {2}, {2})) == Shape{11});
  CHECK(shape_of(s, s.b.dot(s.input({5, 2, 3}), s.input({3, 5, 4, 6}), {{0}, {1}, {2}, {0}})) ==
        Shape{5, 2, 4, 6});
  ValueId at = s.input({4, 5}, i64);
  CHECK(shape_of(s, s.b.gather(x, at, 1)) == Shape{2, 4, 5, 8});
  CHECK(shape_of(s, s.b.conv(s.input({2, 4, 9}), s.input({6, 2, 3}),
                             {{2}, {1}, {0}, {2}, {1}, 2, false})) == Shape{2, 6, 3});
}

TEST_CASE("products over nothing and scatters of nothing leave no node that reads them") {
  Sheet s;
  ValueId zeros = s.b.matmul(s.input({2, 0}), s.input({0, 3}));
  CHECK(s.graph.def(zeros)->op == Prim::constant);
  CHECK(shape_of(s, zeros) == Shape{2, 3});
  ValueId base = s.input({4, 3});
  CHECK(s.b.scatter(ScatterKind::set, base, s.input({0}, i64), s.input({0, 3}), 0) == base);
  ValueId none = s.input({0, 3});
  CHECK(s.b.scatter_along(ScatterKind::add, base, s.input({0, 3}, i64), none, 0) == base);
}

// Why verify() or parse() refuses a text.
std::string refusal(const std::string& body) {
  StatusOr<Graph> g = parse("moai.graph 1\n" + body);
  return g.ok() ? verify(*g).message() : g.status().message();
}

TEST_CASE("malformed graphs are refused with their reason") {
  const std::string input = "%0 = storage 0 : f32[6]\n";
  const std::pair<std::string, const char*> cases[] = {
      {"%0 = storage 0 : f32[2,3]\n", "a storage has rank 1"},
      {"%0 = scalar_int 0 : f64[]\n", "a lifted value is i64[] or f64[]"},
      {"%0 = storage 0 : f32[-6]\n", "[graph] input of unsound type f32[-6]"},
      {input + "%1 = neg(%1) : f32[6]\n", "[neg] operand %1 is used before it is defined"},
      {input + "%1 = neg(%7) : f32[6]\n", "[neg] operand %7 is used before it is defined"},
      {input + "%1 = neg(%0) : f32[5]\n", "[neg] result %1 is f32[5], should be f32[6]"},
      {input + "%1 = bit_not(%0) : f32[6]\n", "[bit_not] has no meaning for f32"},
      {input + "%1 = add(%0) : f32[6]\n", "[add]"},
      {input + "output 0 = %4\n", "[graph] output 0 is no value of the graph"},
      {input + "output 3 = %0\noutput 3 = %0\n", "[graph] slot 3 is written twice"},
      {input + "%1 = reduce(%0) {kind=any,axes=[0]} : f32[]\n",
       "[reduce] this kind has no meaning"},
      {input + "%1 = reduce(%0) {kind=sum,axes=[1]} : f32[]\n", "[reduce]"},
      {input + "%1 = reshape(%0) : f32[2,2]\n", "[reshape] element counts differ"},
      {input + "%1 = transpose(%0) {dims=[0,0]} : f32[6]\n", "[transpose]"},
      {input + "%1 = slice(%0) {start=[4],step=[1]} : f32[3]\n",
       "[slice] reaches beyond [6] on axis 0"},
      {input + "%1 = convert(%0) : c64[6]\n", "complex numbers have no conversion"},
      {input + "%2 = neg(%0) : f32[6]\n", "values must be numbered in order"},
      {input + "%1 = negate(%0) : f32[6]\n", "no primitive has this name"},
      {input + "%1 = iota() : i64[6]\n", "an attribute of the primitive is missing"},
      {input + "%1, %2 = neg(%0) : f32[6], f32[6]\n", "another number of results"},
  };
  for (const auto& [text, reason] : cases) {
    const std::string why = refusal(text);
    INFO(text << "is refused by: " << why);
    CHECK(why.find(reason) != std::string::npos);
  }
  CHECK(refusal(input + "%1 = neg(%0) : f32[6]\noutput 0 = %1\n").empty());
}

TEST_CASE("the builder keeps the first failure and goes on quietly") {
  Sheet s;
  ValueId x = s.input({2, 3}), y = s.input({3, 2});
  CHECK(s.b.binary(Prim::add, x, y) == ValueId::none);
  const std::string first = s.b.status().message();
  CHECK(first.rfind("[add] ", 0) == 0);
  s.b.transpose(x, {0, 0});
  CHECK(s.b.status().message() == first);
}

}  // namespace
}  // namespace moai::ir
