// What the processes of a run told, added up.
#pragma once
#include <string>

namespace moai::cli {

// lines: the text of a StatsFile. The result is a JSON object that has every figure, zero where
// nobody told it: docs/stats.md lists them and says how each is added up. What is no whole line is
// passed over.
std::string add_up_stats(const std::string& lines);

}  // namespace moai::cli
