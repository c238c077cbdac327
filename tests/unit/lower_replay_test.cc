// Views and storage versions against a byte-array oracle.
#include <random>

#include "tests/support/lower_harness.h"

namespace moai::testing {
namespace {

wire::View strided(DType dtype, const Shape& sizes, const Shape& strides, int64_t offset = 0) {
  wire::View v;
  v.dtype = dtype;
  v.offset = offset;
  v.sizes = sizes;
  v.strides = strides;
  return v;
}

std::vector<double> count_to(int n) {
  std::vector<double> v;
  for (int i = 0; i < n; i++) v.push_back(i);
  return v;
}

// Element numbers of a view in its storage, row-major.
std::vector<int64_t> numbers_of(const wire::View& v) {
  std::vector<int64_t> at;
  for (int64_t e = 0; e < v.sizes.numel(); e++) {
    int64_t rest = e, n = v.offset;
    for (int i = v.sizes.rank() - 1; i >= 0; i--) {
      n += rest % v.sizes[i] * v.strides[i];
      rest /= v.sizes[i];
    }
    at.push_back(n);
  }
  return at;
}

void check_read(const wire::View& v, int count) {
  Harness h;
  TensorArg base = h.given({count}, count_to(count));
  TensorArg out = h.fresh(DType::f32, v.sizes);
  h.op("clone").tensor(h.view(base.slot, v)).none().out({out});
  std::vector<double> want;
  for (int64_t n : numbers_of(v)) want.push_back(static_cast<double>(n));
  check_close(h.result(out), want, 0);
}

// Writes -1, -2, ... through the view and compares the whole storage.
void check_write(const wire::View& v, int count) {
  Harness h;
  TensorArg base = h.given({count}, count_to(count));
  std::vector<double> values, want = count_to(count);
  for (int64_t n : numbers_of(v)) {
    values.push_back(-1.0 - static_cast<double>(values.size()));
    want[static_cast<size_t>(n)] = values.back();
  }
  TensorArg src = h.given(v.sizes, values);
  TensorArg to = h.view(base.slot, v);
  h.op("copy").tensor(to).tensor(src).integer(0).out({to});
  check_close(h.result(base), want, 0);
}

size_t uses_of(const ir::Graph& g, Prim op) {
  size_t n = 0;
  for (const ir::Node& node : g.nodes()) n += node.op == op;
  return n;
}

struct Case {
  const char* what;
  Shape sizes, strides;
  int64_t offset;
  int count;
  bool nests;       // expressible without gather and scatter
  bool is_written;  // no element twice
};

const Case kCases[] = {
    {"all", {4, 6}, {6, 1}, 0, 24, true, true},
    {"transposed", {6, 4}, {1, 6}, 0, 24, true, true},
    {"permuted", {3, 2, 4}, {4, 12, 1}, 0, 24, true, true},
    {"rows", {2, 6}, {12, 1}, 6, 24, true, true},
    {"columns", {4, 3}, {6, 2}, 1, 24, true, true},
    {"both stepped", {2, 2, 2}, {24, 8, 3}, 1, 48, true, true},
    {"slice of a slice", {2, 2}, {12, 2}, 7, 24, true, true},
    {"outer step over a middle axis", {4, 2, 3}, {30, 20, 2}, 0, 120, true, true},
    {"select", {4}, {6}, 3, 24, true, true},
    {"one element", {}, {}, 17, 24, true, true},
    {"one element with axes", {1, 1}, {6, 1}, 17, 24, true, true},
    {"diagonal", {4}, {7}, 0, 24, true, true},
    {"batched diagonal", {2, 3}, {12, 5}, 1, 24, true, true},
    {"expanded", {3, 4, 6}, {0, 6, 1}, 0, 24, true, false},
    {"expanded inside", {4, 3, 6}, {6, 0, 1}, 0, 24, true, false},
    {"expanded column", {4, 5}, {6, 0}, 2, 24, true, false},
    {"size-1 axes with odd strides", {1, 4, 1, 6}, {99, 6, 7, 1}, 0, 24, true, true},
    {"chunk of heads", {2, 3, 4, 2}, {72, 2, 18, 1}, 6, 144, true, true},
    {"padded storage", {4, 5}, {5, 1}, 0, 24, true, true},
    {"offset and a short last row", {2, 3}, {4, 1}, 3, 10, true, true},
    {"wraps around rows", {3, 2}, {6, 2}, 5, 24, true, true},
    {"sliding windows", {5, 3}, {1, 1}, 2, 24, false, false},
    {"interleaved", {2, 3}, {3, 2}, 1, 24, false, true},
    {"empty", {0, 3}, {3, 1}, 0, 24, true, true},
};

TEST_CASE("a view is read as its elements") {
  for (const Case& c : kCases) {
    INFO(c.what);
    check_read(strided(DType::f32, c.sizes, c.strides, c.offset), c.count);
  }
}

TEST_CASE("a write changes the elements of its view and no other") {
  for (const Case& c : kCases) {
    if (!c.is_written) continue;
    INFO(c.what);
    check_write(strided(DType::f32, c.sizes, c.strides, c.offset), c.count);
  }
}

TEST_CASE("strides that nest need no gather") {
  for (const Case& c : kCases) {
    INFO(c.what);
    Harness h;
    TensorArg base = h.given({c.count}, count_to(c.count)), out = h.fresh(DType::f32, c.sizes);
    h.op("clone").tensor(h.view(base, c.sizes, c.strides, c.offset)).none().out({out});
    h.run({out.slot});
    CHECK((uses_of(h.graph(), Prim::gather) == 0) == c.nests);
  }
}

TEST_CASE("reading back what a permuted view wrote is free") {
  Harness h;
  TensorArg x = h.given({3, 2}, {1, 2, 3, 4, 5, 6});
  TensorArg y = h.fresh(DType::f32, {2, 3});
  TensorArg y_t = h.view(y, {3, 2}, {1, 3});
  TensorArg z = h.fresh(DType::f32, {3, 2});
  h.op("copy").tensor(y_t).tensor(x).integer(0).out({y_t});
  h.op("clone").tensor(y_t).none().out({z});
  h.run({z.slot});
  CHECK(uses_of(h.graph(), Prim::transpose) == 0);
  check_close(h.values(z), {1, 2, 3, 4, 5, 6}, 0);
  check_close(h.result(y), {1, 3, 5, 2, 4, 6}, 0);
}

TEST_CASE("an output that shows an element twice is refused") {
  Harness h;
  TensorArg y = h.fresh(DType::f32, {4});
  TensorArg wide = h.view(y, {2, 4}, {0, 1});
  h.op("zero").tensor(wide).out({wide});
  Status s = h.status();
  CHECK(s.code() == StatusCode::invalid_argument);
  CHECK(s.message().find("[lower] op 0 zero:") == 0);
  Harness g;
  TensorArg x = g.fresh(DType::f32, {4});
  TensorArg w = g.view(x, {2, 3}, {1, 1});
  g.op("zero").tensor(w).out({w});
  CHECK(g.status().code() == StatusCode::invalid_argument);
}

TEST_CASE("a fresh storage is zero where nothing was written") {
  Harness h;
  TensorArg x = h.given({2}, {1, 2}), y = h.fresh(DType::f32, {5});
  TensorArg part = h.view(y, {2}, {2}, 1);
  h.op("copy").tensor(part).tensor(x).integer(0).out({part});
  check_close(h.result(y), {0, 1, 0, 2, 0}, 0);
}

TEST_CASE("a live fresh storage that nothing wrote is zero") {
  Harness h;
  TensorArg y = h.fresh(DType::f32, {3});
  h.op("empty_like").tensor(y).out({y});
  check_close(h.result(y), {0, 0, 0}, 0);
}

TEST_CASE("only written bound slots and live slots are outputs") {
  Harness h;
  TensorArg x = h.given({2}, {1, 2}), y = h.fresh(DType::f32, {2}), z = h.fresh(DType::f32, {2});
  h.op("neg").tensor(x).out({y});
  h.op("neg").tensor(y).out({z});
  h.run({x.slot, z.slot});
  REQUIRE(h.graph().outputs().size() == 1);
  CHECK(h.graph().outputs()[0].slot == z.slot);
  check_close(h.values(z), {1, 2}, 0);
}

TEST_CASE("one storage seen through two dtypes") {
  Harness h;
  TensorArg x = h.given({2}, {1.0, -2.0});
  wire::View as_int = strided(DType::i32, {2}, {1});
  TensorArg bits = h.view(x.slot, as_int);
  TensorArg ints = h.fresh(DType::i32, {2});
  h.op("clone").tensor(bits).none().out({ints});
  h.op("zero")
      .tensor(h.view(x.slot, strided(DType::u8, {3}, {1})))
      .out({h.view(x.slot, strided(DType::u8, {1}, {1}, 7))});
  h.run({ints.slot, x.slot});
  check_close(h.values(ints), {1065353216.0, -1073741824.0}, 0);
  check_close(h.values(x), {1.0, 0.0}, 1e-30);
}

TEST_CASE("bytes that two dtypes do not fill alike are refused") {
  Harness h;
  uint32_t slot = h.slot(5, false);
  TensorArg y = h.fresh(DType::f32, {1}), z = h.fresh(DType::u8, {5});
  h.op("clone").tensor(h.view(slot, strided(DType::f32, {1}, {1}))).none().out({y});
  h.op("clone").tensor(h.view(slot, strided(DType::u8, {5}, {1}))).none().out({z});
  CHECK(h.status().code() == StatusCode::unimplemented);
}

TEST_CASE("neg bits flip signs both ways, complex storages are refused") {
  Harness h;
  TensorArg x = h.given({2}, {1, -2}), y = h.fresh(DType::f32, {2});
  wire::View v = strided(DType::f32, {2}, {1});
  v.is_neg = true;
  h.op("clone").tensor(h.view(x.slot, v)).none().out({y});
  h.op("copy").tensor(x).tensor(y).integer(0).out({h.view(x.slot, v)});
  h.run({x.slot, y.slot});
  check_close(h.values(y), {-1, 2}, 0);
  check_close(h.values(x), {1, -2}, 0);
  Harness g;
  TensorArg c = g.input(DType::c64, {2}), d = g.fresh(DType::c64, {2});
  g.op("clone").tensor(c).none().out({d});
  CHECK(g.status().code() == StatusCode::unimplemented);
}

// Random writes and reads on one storage; dims of a random view of a random contiguous shape.
wire::View random_view(std::mt19937& rng, int count) {
  auto pick = [&](int64_t n) { return static_cast<int64_t>(rng() % static_cast<uint64_t>(n)); };
  wire::View v;
  v.dtype = DType::f32;
  if (pick(4) == 0) {  // anything that fits
    int rank = static_cast<int>(pick(3)) + 1;
    int64_t room = count - 1;
    v.offset = pick(count / 2);
    room -= v.offset;
    for (int i = 0; i < rank; i++) {
      int64_t stride = pick(7) + 1, size = std::min<int64_t>(pick(4) + 1, room / stride + 1);
      room -= (size - 1) * stride;
      v.sizes.push_back(size);
      v.strides.push_back(stride);
    }
    return v;
  }
  Shape base = pick(2) ? Shape{4, 3, 5} : Shape{6, 2, 5};
  Shape steps = contiguous_strides(base);
  std::vector<int> order = {0, 1, 2};
  std::shuffle(order.begin(), order.end(), rng);
  for (int i : order) {
    int64_t start = pick(base[i]), step = pick(2) + 1;
    int64_t most = (base[i] - start + step - 1) / step;
    v.offset += start * steps[i];
    if (pick(5) == 0) continue;  // select
    v.sizes.push_back(pick(most) + 1);
    v.strides.push_back(steps[i] * step);
  }
  return v;
}

TEST_CASE("random writes and reads of one storage") {
  constexpr int kCount = 60;
  std::mt19937 rng(7);
  int refused = 0;
  for (int round = 0; round < 60; round++) {
    Harness h;
    std::vector<double> oracle = count_to(kCount), next = oracle;
    TensorArg base = h.given({kCount}, oracle);
    std::vector<std::pair<TensorArg, std::vector<double>>> reads;
    std::vector<uint32_t> live = {base.slot};
    for (int step = 0; step < 8; step++) {
      wire::View v = random_view(rng, kCount);
      auto at = numbers_of(v);
      if (rng() % 2) {
        TensorArg out = h.fresh(DType::f32, v.sizes);
        h.op("clone").tensor(h.view(base.slot, v)).none().out({out});
        std::vector<double> want;
        for (int64_t n : at) want.push_back(oracle[static_cast<size_t>(n)]);
        reads.emplace_back(out, want);
        live.push_back(out.slot);
        continue;
      }
      std::vector<int64_t> sorted = at;
      std::sort(sorted.begin(), sorted.end());
      if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        refused++;
        continue;
      }
      std::vector<double> values;
      for (size_t i = 0; i < at.size(); i++) {
        values.push_back(1000.0 * (round + 1) + 100 * step + static_cast<double>(i));
        oracle[static_cast<size_t>(at[i])] = values.back();
      }
      TensorArg src = h.given(v.sizes, values), to = h.view(base.slot, v);
      h.op("copy").tensor(to).tensor(src).integer(0).out({to});
    }
    std::sort(live.begin(), live.end());
    h.run(live);
    for (auto& [t, want] : reads) check_close(h.values(t), want, 0);
    check_close(h.contents(base.slot).data.empty() ? oracle : h.values(base), oracle, 0);
  }
  CHECK(refused < 60);
}

TEST_CASE("an op without a row and an op with wrong arguments name themselves") {
  Harness h;
  TensorArg y = h.fresh(DType::f32, {2});
  h.op("no_such_op").tensor(y).out({y});
  Status s = h.status();
  CHECK(s.code() == StatusCode::unimplemented);
  CHECK(s.message().find("[lower] op 0 no_such_op:") == 0);
  Harness g;
  TensorArg z = g.fresh(DType::f32, {2});
  g.op("neg").integer(3).out({z});
  CHECK(g.status().message().find("[lower] op 0 neg:") == 0);
  Harness f;
  TensorArg a = f.given({2}, {1, 2}), b = f.fresh(DType::f32, {3});
  f.op("neg").tensor(a).out({b});
  CHECK(f.status().code() == StatusCode::invalid_argument);
}

}  // namespace
}  // namespace moai::testing
