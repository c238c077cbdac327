// What verify() accepts of a segment, breach by breach, and what ArgReader makes of its words.
#include <catch2/catch.hpp>
#include <functional>

#include "src/wire/reader.h"

using namespace moai;
using namespace moai::wire;

namespace {

// y = add(x, x, alpha = 2); then foreach-like op with every kind of word.
Segment sample() {
  Segment s;
  s.names = {"add.Tensor", "many"};
  s.texts = {"mean"};
  s.slots = {{24, false}, {24, true}};
  View v;
  v.sizes = {2, 3};
  v.strides = {3, 1};
  s.views = {v};
  s.words = {make_tensor(0, 0), make_tensor(0, 0), make_word(Tag::scalar_int),
             make_word(Tag::outputs, 1), make_tensor(1, 0)};
  s.op_name = {0};
  s.op_end = {5};
  for (uint64_t w : {make_word(Tag::tensor_list, 2), make_tensor(0, 0), make_word(Tag::none),
                     make_word(Tag::integer, -5), make_word(Tag::integer_wide), uint64_t{1} << 60,
                     make_word(Tag::integer_list, 2), uint64_t{7}, ~uint64_t{0},
                     make_word(Tag::real), std::bit_cast<uint64_t>(0.5), make_word(Tag::text, 0),
                     make_scalar_list(9, Tag::scalar_real, true), make_word(Tag::rng),
                     make_word(Tag::outputs, 2), make_word(Tag::none), make_tensor(1, 0)})
    s.words.push_back(w);
  s.op_name.push_back(1);
  s.op_end.push_back(static_cast<uint32_t>(s.words.size()));
  s.scalar_count = 4;
  return s;
}

}  // namespace

TEST_CASE("verify accepts a well-formed segment") {
  Status st = verify(sample());
  INFO(st.message());
  CHECK(st.ok());
}

TEST_CASE("verify names each breach") {
  auto broken = [](std::function<void(Segment&)> f) {
    Segment s = sample();
    f(s);
    Status st = verify(s);
    CHECK(st.code() == StatusCode::invalid_argument);
    return st.message();
  };
  using Catch::Contains;
  CHECK_THAT(broken([](Segment& s) { s.op_name[0] = 9; }), Contains("name that is not there"));
  CHECK_THAT(broken([](Segment& s) { s.op_end[0] = 3; }), Contains("no outputs word"));
  CHECK_THAT(broken([](Segment& s) { s.op_end[1] = 2; }), Contains("does not begin"));
  CHECK_THAT(broken([](Segment& s) { s.op_end[1]++; }), Contains("does not begin"));
  CHECK_THAT(broken([](Segment& s) { s.words.push_back(0); }), Contains("belong to no op"));
  CHECK_THAT(broken([](Segment& s) { s.words[0] = make_tensor(2, 0); }), Contains("slot or view"));
  CHECK_THAT(broken([](Segment& s) { s.words[0] = make_tensor(0, 1); }), Contains("slot or view"));
  CHECK_THAT(broken([](Segment& s) { s.words[0] = 200; }), Contains("unknown kind"));
  CHECK_THAT(broken([](Segment& s) { s.slots[1].bytes = 23; }), Contains("beyond its storage"));
  CHECK_THAT(broken([](Segment& s) { s.views[0].offset = 1; }), Contains("beyond its storage"));
  CHECK_THAT(broken([](Segment& s) { s.views[0].offset = -1; }), Contains("out of range"));
  CHECK_THAT(broken([](Segment& s) { s.views[0].strides[0] = -3; }), Contains("out of range"));
  CHECK_THAT(broken([](Segment& s) { s.views[0].sizes[0] = INT64_MAX; }), Contains("out of range"));
  CHECK_THAT(broken([](Segment& s) { s.slots[0].bytes = ~uint64_t{0}; }), Contains("64 TiB"));
  CHECK_THAT(broken([](Segment& s) { s.scalar_count = 3; }), Contains("lifts more"));
  CHECK_THAT(broken([](Segment& s) { s.scalar_count = 5; }), Contains("lifts 4"));
  CHECK_THAT(broken([](Segment& s) { s.texts.clear(); }), Contains("text that is not there"));
  CHECK_THAT(broken([](Segment& s) { s.words[5] = make_word(Tag::tensor_list, 1 << 30); }),
             Contains("longer"));
  CHECK_THAT(broken([](Segment& s) { s.words[11] = make_word(Tag::integer_list, -1); }),
             Contains("longer"));
}

TEST_CASE("ArgReader reads the words in schema order") {
  Segment s = sample();
  uint32_t lifted = 0;
  ArgReader add(s, 0, &lifted);
  CHECK(add.tensor()->slot == 0);
  CHECK(add.tensor()->view == 0);
  auto alpha = add.scalar();
  CHECK(alpha->is_lifted);
  CHECK(alpha->kind == ScalarArg::Kind::integer);
  CHECK(add.outputs().size() == 1);
  CHECK(add.at_end());
  ArgReader many(s, 1, &lifted);
  auto list = many.tensors();
  REQUIRE(list.size() == 2);
  CHECK(list[0].has_value());
  CHECK(!list[1].has_value());
  CHECK(many.integer() == -5);
  CHECK(many.integer() == int64_t{1} << 60);
  CHECK(*many.integers() == std::vector<int64_t>{7, -1});
  CHECK(many.real() == 0.5);
  CHECK(many.text() == "mean");
  size_t n = 0;
  CHECK(many.scalars(&n).size() == 1);
  CHECK(n == 9);
  CHECK(many.rng()->second.index == 3);
  CHECK(many.outputs().size() == 2);
  CHECK(!many.failed());
  CHECK(lifted == 4);
}

TEST_CASE("ArgReader of another schema fails once and yields defaults") {
  Segment s = sample();
  uint32_t lifted = 0;
  ArgReader r(s, 0, &lifted);
  CHECK(r.integers()->empty());
  CHECK(r.failed());
  CHECK(r.outputs().empty());
}
