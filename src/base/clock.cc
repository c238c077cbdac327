#include "src/base/clock.h"

#include <ctime>

namespace moai {

uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

int milliseconds_left(Deadline d) {
  if (d.at_ns == UINT64_MAX) return -1;
  uint64_t now = now_ns();
  if (now >= d.at_ns) return 0;
  uint64_t ms = (d.at_ns - now + 999999) / 1000000;
  return ms > 1000000000 ? 1000000000 : static_cast<int>(ms);
}

}  // namespace moai
