// What the process did so far, for `moai run --stats`.
#pragma once
#include <string>

namespace moai::bridge {

// A JSON object: the counters of the session, and per fallen back operator its calls, bytes,
// milliseconds.
std::string stats_json();

}  // namespace moai::bridge
