// The real monotonic clock.
#pragma once
#include "moai/clock.h"

namespace moai {

uint64_t now_ns();
inline Deadline in_seconds(double s) { return {now_ns() + static_cast<uint64_t>(s * 1e9)}; }
inline bool has_passed(Deadline d) { return d.at_ns != UINT64_MAX && now_ns() >= d.at_ns; }
// Milliseconds left for poll(2): -1 for no deadline, rounded up, 0 when passed.
int milliseconds_left(Deadline d);

}  // namespace moai
