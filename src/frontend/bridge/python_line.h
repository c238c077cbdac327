// Where the program stands, and what its signal handlers raised.
#pragma once
#include <string>

namespace moai::bridge {

// " (train.py:12)", or nothing when no Python line is known.
std::string python_line();
// Throws what a signal handler raised during the last wait of this thread; returns when there is
// nothing.
void throw_interrupted();

}  // namespace moai::bridge
