// Time as an argument: real in the product, simulated in tests.
#pragma once
#include <cstdint>

namespace moai {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() const = 0;  // monotonic
};

// A point in monotonic time by which a wait ends.
struct Deadline {
  uint64_t at_ns = UINT64_MAX;
};

}  // namespace moai
