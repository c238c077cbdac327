#include <catch2/catch.hpp>

#include "src/frontend/segment_book.h"

using namespace moai;
using namespace moai::frontend;

namespace {

wire::Execute execute_of(uint64_t id, std::vector<std::pair<uint32_t, uint64_t>> bindings) {
  wire::Execute e;
  e.segment = {id, id};
  e.bindings = std::move(bindings);
  return e;
}

wire::Segment large_segment(size_t ops) {
  wire::Segment s;
  s.names = {"neg", "abs"};
  for (size_t i = 0; i < ops; i++) {
    auto at = static_cast<uint32_t>(i);
    s.slots.push_back({1024, i % 2 == 0});
    s.views.push_back({DType::f32, false, false, at % 128, {2, 2, 2}, {4, 2, 1}});
    s.op_name.push_back(at % 2);
    s.words.push_back(wire::make_tensor(at, at));
    s.words.push_back(wire::make_word(wire::Tag::scalar_int));
    s.words.push_back(wire::make_word(wire::Tag::outputs, 1));
    s.words.push_back(wire::make_tensor(at / 2, at / 2));
    s.op_end.push_back(static_cast<uint32_t>(s.words.size()));
  }
  s.scalar_count = static_cast<uint32_t>(ops);
  return s;
}

// As a server does it: row 0 begins anew, everything else is appended.
wire::Segment join(const std::vector<wire::Bytes>& pieces) {
  wire::Segment s;
  auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (const wire::Bytes& piece : pieces) {
    auto ops = wire::decode<wire::Ops>(piece);
    REQUIRE(ops.ok());
    if (ops->first_op == 0) s = {};
    REQUIRE(ops->first_op == s.op_count());
    append(s.names, ops->part.names), append(s.texts, ops->part.texts);
    append(s.slots, ops->part.slots), append(s.views, ops->part.views);
    append(s.op_name, ops->part.op_name), append(s.op_end, ops->part.op_end);
    append(s.words, ops->part.words);
    s.scalar_count = ops->part.scalar_count;
  }
  return s;
}

}  // namespace

TEST_CASE("pieces join to the segment that they were") {
  for (size_t ops : {1, 100, 20000}) {
    wire::Segment s = large_segment(ops);
    auto pieces = encode_pieces(s);
    CHECK((pieces.size() > 1) == (ops == 20000));
    for (const auto& piece : pieces) CHECK(piece.size() < kRingToServerBytes / 2);
    wire::Segment joined = join(pieces);
    CHECK(wire::verify(joined).ok());
    CHECK(joined.names == s.names);
    CHECK(joined.slots == s.slots);
    CHECK(joined.views == s.views);
    CHECK(joined.op_name == s.op_name);
    CHECK(joined.op_end == s.op_end);
    CHECK(joined.words == s.words);
  }
}

TEST_CASE("bindings go out as a difference while both ends remember the last ones") {
  SegmentBook book;
  auto first = execute_of(1, {{0, 10}, {1, 11}});
  book.bind(first, true);
  CHECK(first.is_whole);
  CHECK(first.bindings.size() == 2);
  auto second = execute_of(1, {{0, 10}, {1, 12}});
  book.bind(second, false);
  CHECK_FALSE(second.is_whole);
  CHECK(second.bindings == std::vector<std::pair<uint32_t, uint64_t>>{{1, 12}});
  auto third = execute_of(1, {{0, 10}, {1, 12}});
  book.bind(third, false);
  CHECK(third.bindings.empty());
  auto again = execute_of(1, {{0, 10}, {1, 13}});
  book.bind(again, true);  // a definition is whole, and remembered
  CHECK(again.is_whole);
  CHECK(again.bindings.size() == 2);
  auto after = execute_of(1, {{0, 10}, {1, 13}});
  book.bind(after, false);
  CHECK(after.bindings.empty());
  book.forget_bindings();
  auto whole = execute_of(1, {{0, 10}, {1, 13}});
  book.bind(whole, false);
  CHECK(whole.is_whole);
}

TEST_CASE("the 256 most recent segments are remembered") {
  SegmentBook book;
  auto bind = [&](uint64_t id) {
    auto e = execute_of(id, {{0, 1}});
    book.bind(e, false);
    return e.is_whole;
  };
  for (uint64_t id = 0; id < kRecentSegments; id++) CHECK(bind(id));
  CHECK_FALSE(bind(0));          // 1 is the oldest now
  CHECK(bind(kRecentSegments));  // and leaves
  CHECK_FALSE(bind(0));
  CHECK(bind(1));
}

TEST_CASE("definitions leave by bytes, least recently used first, but not the last few") {
  SegmentBook book(1000);
  for (uint64_t id = 0; id < 10; id++) {
    book.define({id, id}, {wire::Bytes(100)});
    CHECK(book.find({0, 0}) != nullptr);
  }
  book.define({10, 10}, {wire::Bytes(100)});
  CHECK(book.find({1, 1}) == nullptr);
  CHECK(book.find({0, 0}) != nullptr);
  book.define({11, 11}, {wire::Bytes(5000)});
  CHECK(book.find({11, 11}) != nullptr);
  CHECK(book.find({0, 0}) != nullptr);
  CHECK(book.find({5, 5}) == nullptr);
}
