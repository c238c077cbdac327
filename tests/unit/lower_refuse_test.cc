// Segments that no client would send: lower() refuses them with a sentence or makes a sound graph.
#include <catch2/catch.hpp>
#include <numeric>
#include <random>
#include <set>

#include "src/ir/verify.h"
#include "tests/support/random_segment.h"

namespace moai::testing {
namespace {

TEST_CASE("random segments are refused by name or lowered to sound graphs") {
  std::mt19937 rng(11);
  int lowered = 0, refused = 0;
  for (int round = 0; round < 20000; round++) {
    std::vector<uint8_t> bytes(200);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng());
    wire::Segment segment = RandomSegment(bytes).make();
    Status valid = wire::verify(segment);
    INFO(valid.message());
    REQUIRE(valid.ok());
    std::vector<uint32_t> live(segment.slots.size());
    std::iota(live.begin(), live.end(), 0);
    auto graph = lower::lower(segment, live);
    if (!graph.ok()) {
      refused++;
      INFO(graph.status().message());
      REQUIRE(graph.status().message().rfind("[lower] op", 0) == 0);
      REQUIRE(graph.status().code() != StatusCode::internal);
      continue;
    }
    lowered++;
    Status sound = ir::verify(*graph);
    INFO(sound.message());
    REQUIRE(sound.ok());
  }
  CHECK(lowered > 10);
  CHECK(refused > 1000);
}

TEST_CASE("every op of the map has one row") {
  std::set<std::string> names;
  for (const auto& op : lower::supported_ops()) {
    INFO(op.name);
    CHECK(names.insert(op.name).second);
    CHECK(op.dtype_mask != 0);
  }
  CHECK(names.size() > 400);
}

}  // namespace
}  // namespace moai::testing
