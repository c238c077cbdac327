// Plans of other sizes: they are what planning in full gives.
#include <catch2/catch.hpp>

#include "src/engine/plan_families.h"
#include "src/engine/segment_numbers.h"
#include "src/ir/text.h"
#include "src/lower/lower.h"
#include "tests/support/random_graph.h"
#include "tests/support/segment_builder.h"

using namespace moai;
using namespace moai::engine;
using moai::testing::SegmentBuilder;

namespace {

// A token of a decoder: keys and values are appended to `length` others, one row looks at all.
wire::Segment token(int64_t length, int64_t heads = 2) {
  SegmentBuilder s;
  auto grow = [&] {
    auto past = s.input(DType::f32, {1, heads, length, 16});
    auto next = s.input(DType::f32, {1, heads, 1, 16});
    auto all = s.fresh(DType::f32, {1, heads, length + 1, 16});
    s.op("cat").tensors({past, next}).integer(2).out({all});
    return all;
  };
  auto keys = grow(), values = grow();
  auto mask = s.input(DType::f32, {1, length + 1});
  auto query = s.input(DType::f32, {1, length + 1});
  auto sum = s.fresh(DType::f32, {1, length + 1});
  s.op("add.Tensor").tensor(mask).tensor(query).scalar(1.0).out({sum});
  auto doubled = s.fresh(DType::f32, {1, heads, length + 1, 16});
  s.op("mul.Tensor").tensor(keys).tensor(values).out({doubled});
  return s.segment();
}

const std::vector<uint32_t> kLiveOut = {2, 5, 8, 9};

StatusOr<KernelList> in_full(const wire::Segment& segment) {
  MOAI_ASSIGN_OR_RETURN(ir::Graph graph, lower::lower(segment, kLiveOut));
  return list_kernels(graph);
}

// What a session does with its segments.
struct Planner {
  PlanFamilies families;
  int listed = 0, resized = 0;
  void plan(const wire::Segment& segment) {
    const auto list = [&](const wire::Segment& s) {
      listed++;
      return in_full(s);
    };
    std::optional<KernelList> kernels = families.find(segment, kLiveOut, list);
    StatusOr<KernelList> expected = in_full(segment);
    REQUIRE(expected.ok());
    if (!kernels) {
      listed++;
      return;
    }
    resized++;
    REQUIRE(*kernels == *expected);
  }
};

std::string without_shapes(const ir::Graph& graph) {
  std::string out;
  int depth = 0;
  for (char c : ir::print(graph)) {
    depth += (c == '[') - (c == ']');
    if (depth == 0) out += c;
  }
  return out;
}

}  // namespace

TEST_CASE("a cache that grows is planned a few times for each doubling") {
  Planner planner;
  for (int64_t length = 1; length <= 2000; length++) planner.plan(token(length));
  INFO(planner.listed << " listed, " << planner.resized << " resized");
  CHECK(planner.listed <= 100);
  CHECK(planner.resized >= 1940);
}

TEST_CASE("lengths in any order, of two models whose tokens have one skeleton") {
  Planner planner;
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; i++)
    planner.plan(token(64 + static_cast<int64_t>(random() % 400), i % 2 ? 2 : 3));
  INFO(planner.listed << " listed, " << planner.resized << " resized");
  CHECK(planner.resized >= 900);
}

TEST_CASE("kernels of a size, from those of others, are its own: random graphs") {
  int sized_graphs = 0;
  for (uint64_t seed = 1; seed <= 1000; seed++) {
    const auto graph_at = [&](int64_t t) {
      test::RandomGraph random(seed, t);
      random.grow(static_cast<int>(2 + seed % 12));
      return random.p.g;
    };
    const auto kernels_at = [&](int64_t t) { return list_kernels(graph_at(t)); };
    const int64_t lo = seed % 3 ? 17 : 33, hi = 2 * lo - 2;
    const std::optional<SizedKernels> sized = SizedKernels::make(lo, hi, kernels_at);
    if (!sized) continue;
    sized_graphs++;
    const std::string program = without_shapes(graph_at(lo));
    for (int64_t t = lo; t <= hi; t++) {
      // Where two sizes happen to be equal the generator may have made another program.
      if (without_shapes(graph_at(t)) != program) continue;
      StatusOr<KernelList> expected = kernels_at(t);
      INFO("seed " << seed << ", size " << t);
      REQUIRE(expected.ok());
      REQUIRE(sized->at(t) == *expected);
    }
  }
  INFO(sized_graphs << " graphs of 1000");
  CHECK(sized_graphs >= 400);
}

TEST_CASE("plans that differ in more than numbers are no family") {
  const auto copies = [](int64_t count) {
    KernelList list;
    list.kernels.resize(static_cast<size_t>(count));
    return list;
  };
  CHECK(SizedKernels::make(8, 15, [&](int64_t) { return copies(2); }));
  for (int64_t odd : {8, 9, 10, 14, 15})
    CHECK_FALSE(SizedKernels::make(8, 15, [&](int64_t t) { return copies(t == odd ? 3 : 2); }));
  CHECK_FALSE(SizedKernels::make(
      8, 15, [](int64_t) { return StatusOr<KernelList>(invalid("[lower] no")); }));
  // Neither of degree two nor of less.
  const auto bytes = [](int64_t t, int64_t n) {
    KernelList list;
    list.values.push_back({static_cast<uint64_t>(n + t), -1, -1, -1, -1, 0});
    return list;
  };
  CHECK(SizedKernels::make(8, 15, [&](int64_t t) { return bytes(t, t * t); })->at(12) ==
        bytes(12, 144));
  CHECK_FALSE(SizedKernels::make(8, 15, [&](int64_t t) { return bytes(t, t * t * t); }));
  CHECK_FALSE(SizedKernels::make(8, 15, [&](int64_t t) { return bytes(t, t / 4); }));
  // A float may be a count or one over a count, as in a mean.
  const auto constant = [](double f, TileType type = TileType::f64) {
    TileProgram tile;
    tile.code.resize(1);
    tile.code[0].imm_f = f;
    tile.code[0].type = type;
    KernelList list;
    list.kernels.resize(1);
    list.kernels[0].source = tile;
    return list;
  };
  const auto floats = [&](int64_t t) { return constant(static_cast<double>(3 * t)); };
  CHECK(SizedKernels::make(8, 15, floats)->at(12) == constant(36));
  CHECK(SizedKernels::make(8, 15, [&](int64_t) { return constant(0.5); })->at(12) == constant(0.5));
  for (TileType type : {TileType::f64, TileType::f32}) {
    const auto over = [&](double x) {
      return constant(type == TileType::f64 ? x : static_cast<double>(static_cast<float>(x)), type);
    };
    const auto parts = [&](int64_t t) { return over(1 / static_cast<double>(2 * t)); };
    CHECK(SizedKernels::make(8, 16, parts)->at(13) == over(1.0 / 26));
  }
  CHECK_FALSE(SizedKernels::make(
      8, 15, [&](int64_t t) { return constant(1 / std::sqrt(static_cast<double>(t))); }));
  CHECK_FALSE(
      SizedKernels::make(8, 15, [&](int64_t t) { return constant(2 / static_cast<double>(t)); }));
}

TEST_CASE("lists of numbers on a curve") {
  const auto sizes = [](int64_t n) { return std::vector<int64_t>{4, n, 3 * n - 5, 100 - n}; };
  auto line = NumberCurve::line(sizes(20), sizes(32));
  REQUIRE(line);
  for (int64_t n : {20, 21, 17, 99}) {
    REQUIRE(line->position_of(sizes(n)));
    CHECK(line->at(*line->position_of(sizes(n))) == sizes(n));
  }
  CHECK_FALSE(line->position_of({4, 21, 58, 78}));
  CHECK_FALSE(line->position_of({5, 21, 58, 79}));
  CHECK_FALSE(line->position_of({4, 21, 58}));
  const auto [lo, hi] = line->doubling_around(*line->position_of(sizes(20)));
  CHECK(line->at(lo) == sizes(13));  // 3 n - 5 grows fastest: 34
  CHECK(line->at(hi) == sizes(23));  // 64
  CHECK_FALSE(NumberCurve::line(sizes(20), sizes(20)));
  // The end of a slice may be the largest number there is, always.
  CHECK(NumberCurve::line({INT64_MAX, 1}, {INT64_MAX, 2})->at(5) ==
        NumberCurve::Numbers{INT64_MAX, 6});
  CHECK_FALSE(NumberCurve::line({INT64_MAX, 1}, {INT64_MAX - 1, 2}));

  const auto squares = [](int64_t n) { return std::vector<int64_t>{7, n * n, n, n * (n - 1) / 2}; };
  CHECK_FALSE(NumberCurve::line(squares(20), squares(21))->position_of(squares(22)));
  auto curve = NumberCurve::parabola(squares(40), squares(20), squares(25));
  REQUIRE(curve);
  for (int64_t n : {20, 65, 25, 100, 5}) {
    REQUIRE(curve->position_of(squares(n)));
    CHECK(curve->at(*curve->position_of(squares(n))) == squares(n));
  }
  CHECK_FALSE(curve->position_of(squares(41)));  // five apart is all that the three say
  CHECK_FALSE(NumberCurve::parabola(squares(20), squares(20), squares(25)));
  CHECK_FALSE(curve->at(int64_t{1} << 40));
}

TEST_CASE("a segment is its numbers and its skeleton") {
  const wire::Segment a = token(7), b = token(300);
  CHECK(skeleton_of(a) == skeleton_of(b));
  CHECK(numbers_of(a) != numbers_of(b));
  StatusOr<wire::Segment> made = with_numbers(a, numbers_of(b));
  REQUIRE(made.ok());
  CHECK(made->views == b.views);
  CHECK(made->words == b.words);
  CHECK(made->slots == b.slots);
  for (auto change : std::vector<std::function<void(wire::Segment&)>>{
           [](wire::Segment& s) { s.names[0] = "stack"; },
           [](wire::Segment& s) { s.views[0].dtype = DType::f64; },
           [](wire::Segment& s) { s.views[0].is_neg = true; },
           [](wire::Segment& s) { s.slots[0].is_fresh = true; },
           [](wire::Segment& s) { s.words[1] = wire::make_tensor(1, 1); }}) {
    wire::Segment other = a;
    change(other);
    CHECK(skeleton_of(other) != skeleton_of(a));
  }
  std::vector<int64_t> numbers = numbers_of(a);
  numbers[0] = 4;  // bytes of a storage that a view does not fit into
  CHECK_FALSE(with_numbers(a, numbers).ok());
  numbers[0] = -1;
  CHECK_FALSE(with_numbers(a, numbers).ok());
}

TEST_CASE("numbers of any size make no family that overflows") {
  PlanFamilies families;
  const auto refuse = [](const wire::Segment&) -> StatusOr<KernelList> {
    return invalid("[lower] no");
  };
  const auto far = [](int64_t a, int64_t b) {
    SegmentBuilder s;
    auto x = s.input(DType::f32, {2});
    s.op("roll").tensor(x).integers({a}).integers({b}).out({s.fresh(DType::f32, {2})});
    return s.segment();
  };
  constexpr int64_t kFar = int64_t{1} << 60;
  for (auto [a, b] : std::vector<std::pair<int64_t, int64_t>>{{0, -kFar},
                                                              {1, 0},
                                                              {2, kFar},
                                                              {3, 2 * kFar},
                                                              {INT64_MAX, INT64_MIN},
                                                              {-kFar, kFar},
                                                              {-kFar, 0},
                                                              {-kFar, -kFar},
                                                              {kFar, kFar},
                                                              {0, 0},
                                                              {-kFar / 2, -kFar / 2},
                                                              {5, 5}})
    for (int again = 0; again < 3; again++)
      CHECK_FALSE(families.find(far(a, b), kLiveOut, refuse).has_value());
}

TEST_CASE("what is kept of families is bounded") {
  constexpr uint64_t kBytesMax = 200'000;
  PlanFamilies families(kBytesMax);
  std::mt19937_64 random(1);
  uint64_t most = 0;
  for (int i = 0; i < 3000; i++) {
    wire::Segment segment = token(1 + static_cast<int64_t>(random() % 500));
    segment.names[0] = "cat" + std::to_string(i % 40);
    (void)families.find(segment, kLiveOut, [](const wire::Segment&) -> StatusOr<KernelList> {
      KernelList list;
      list.kernels.resize(20);
      return list;
    });
    most = std::max(most, families.bytes());
  }
  CHECK(most <= 2 * kBytesMax);
  CHECK(most >= kBytesMax / 2);
}
