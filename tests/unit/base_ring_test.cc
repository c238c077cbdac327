// Order, growth in mid-queue, and that an element comes back with what it owned.
#include "src/base/ring.h"

#include <catch2/catch.hpp>
#include <deque>
#include <string>
#include <vector>

namespace moai {

TEST_CASE("a ring keeps its order while it wraps and grows") {
  Ring<std::vector<int>> ring(2);
  std::deque<int> model;
  for (int i = 0, next = 0; i < 1000; i++) {
    if ((i * 7 + i / 13) % 3 != 0 || model.empty()) {
      ring.push() = {next};
      model.push_back(next++);
    } else {
      CHECK(ring.front()[0] == model.front());
      ring.pop();
      model.pop_front();
    }
    REQUIRE(ring.size() == model.size());
    for (size_t k = 0; k < model.size(); k++) REQUIRE(ring[k][0] == model[k]);
  }
}

TEST_CASE("an element of a ring comes back with its buffer") {
  Ring<std::vector<int>> ring(2);
  ring.push().assign(100, 1);
  const int* buffer = ring.front().data();
  ring.pop();
  ring.push();
  ring.pop();
  CHECK(ring.push().data() == buffer);
}

}  // namespace moai
