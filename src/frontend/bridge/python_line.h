// Where the program stands, for messages.
#pragma once
#include <string>

namespace moai::bridge {

// " (train.py:12)", or nothing when no Python line is known.
std::string python_line();

}  // namespace moai::bridge
