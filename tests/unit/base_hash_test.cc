#include <catch2/catch.hpp>
#include <set>

#include "src/base/hash.h"

using namespace moai;

TEST_CASE("Hash128 depends on every word and on their order") {
  auto of = [](std::initializer_list<uint64_t> words) {
    Hash128 h;
    for (uint64_t w : words) h.add(w);
    return h.id();
  };
  CHECK(of({1, 2}) == of({1, 2}));
  CHECK(of({1, 2}) != of({2, 1}));
  CHECK(of({0}) != of({0, 0}));
  std::set<SegmentId> seen;
  for (uint64_t i = 0; i < 10000; i++) seen.insert(of({i, i * 3}));
  CHECK(seen.size() == 10000);
}

TEST_CASE("Hash128 of text counts its length") {
  Hash128 a, b;
  a.add("ab"), a.add("c");
  b.add("a"), b.add("bc");
  CHECK(a.id() != b.id());
}
