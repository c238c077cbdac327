// Random graphs: compiled and run they give what the evaluator gives. In f64, so that rounding
// decides no comparison.
#include <catch2/catch.hpp>
#include <random>

#include "src/engine/sized_kernels.h"
#include "src/ir/text.h"
#include "tests/support/compile_graph.h"
#include "tests/support/random_graph.h"

using namespace moai;
using ir::ValueId;
using test::RandomGraph;
using test::Recipe;

TEST_CASE("Random graphs give what the evaluator gives") {
  for (uint64_t seed = 1; seed <= 1500; seed++) {
    RandomGraph random(seed);
    random.grow(static_cast<int>(10 + seed % 60));
    std::string difference = test::compare(random.p.g, 1e-8, seed);
    INFO("seed " << seed << "\n" << (difference.empty() ? "" : ir::print(random.p.g)));
    REQUIRE(difference == "");
  }
}

// Where sizes happen to be equal a graph's own plan may fuse what that of others cannot.
TEST_CASE("Plans from plans of other sizes give what the evaluator gives") {
  const std::pair<uint64_t, int64_t> equal_somewhere[] = {{4289, 24},  {4950, 36},  {9829, 20},
                                                          {19581, 48}, {26484, 36}, {29295, 42},
                                                          {33691, 24}, {35560, 24}};
  for (auto [seed, size] : equal_somewhere) {
    const auto graph_of = [seed = seed](int64_t n) {
      RandomGraph random(seed, n);
      random.grow(static_cast<int>(2 + seed % 24));
      return random.p.g;
    };
    const int64_t lo = size > 32 ? 33 : 17;
    const auto kernels_at = [&](int64_t n) { return engine::list_kernels(graph_of(n)); };
    auto sized = engine::SizedKernels::make(lo, 2 * lo - 2, kernels_at);
    INFO("seed " << seed << ", size " << size);
    REQUIRE(sized);
    for (int64_t n : {size - 1, size, size + 1}) {
      auto plan = engine::place(sized->at(n));
      REQUIRE(plan.ok());
      REQUIRE(test::compare(graph_of(n), *plan, 1e-8, seed) == "");
    }
  }
}

TEST_CASE("Wide and deep pointwise graphs stay within the limits of a kernel") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    std::mt19937_64 random(seed);
    Recipe p;
    std::vector<ValueId> values;
    for (int i = 0; i < 40; i++) values.push_back(p.input({3, 5}, DType::f64));
    auto any = [&](size_t last) {
      return values[values.size() - 1 - random() % std::min(last, values.size())];
    };
    size_t near = seed % 2 ? 8 : 300;
    for (int i = 0; i < 300; i++) {
      Prim ops[] = {Prim::add, Prim::sub, Prim::max, Prim::min};
      ValueId v = p.b.binary(ops[random() % 4], any(near), any(300));
      values.push_back(p.add(v, p.full(static_cast<double>(random() % 100) / 7, v)));
      if (random() % 8 == 0) p.output(values.back());
    }
    p.output(values.back());
    INFO("seed " << seed);
    REQUIRE(test::compare(p.g, 1e-9, seed) == "");
  }
}

TEST_CASE("Random element types: every op rounds to its own") {
  constexpr DType kTypes[] = {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64,
                              DType::i32, DType::i16, DType::i8,   DType::u8,  DType::boolean};
  for (uint64_t seed = 1; seed <= 400; seed++) {
    std::mt19937_64 random(seed);
    Recipe p;
    std::vector<ValueId> values;
    for (DType t : kTypes) values.push_back(p.input({7}, t));
    for (int i = 0; i < 25; i++) {
      ValueId x = values[random() % values.size()];
      ValueId y = p.b.convert(values[random() % values.size()], p.b.dtype(x));
      DType t = p.b.dtype(x);
      ValueId v = y;
      switch (random() % 6) {
        case 0: v = p.b.binary(random() % 2 ? Prim::max : Prim::min, x, y); break;
        case 1: v = p.b.select(p.b.binary(Prim::lt, x, y), x, y); break;
        case 2: v = p.b.binary(Prim::ne, x, y); break;
        case 3:
          if (is_integer(t))
            v = p.b.binary(random() % 2 ? Prim::shl : Prim::mul, x, y);
          else if (is_float(t))
            v = p.b.binary(Prim::add, x, y);
          break;
        case 4:
          if (t != DType::boolean) v = p.b.unary(random() % 2 ? Prim::neg : Prim::abs, x);
          break;
        default: v = p.b.convert(x, kTypes[random() % 10]);
      }
      if (is_float(p.b.dtype(v))) v = p.b.ternary(Prim::clamp, v, p.full(-100, v), p.full(100, v));
      values.push_back(v);
      if (random() % 4 == 0) p.output(v);
    }
    p.output(values.back());
    INFO("seed " << seed << "\n" << ir::print(p.g));
    REQUIRE(p.b.status().ok());
    REQUIRE(test::compare(p.g, 1e-6, seed) == "");
  }
}
