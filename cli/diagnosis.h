// What made a run slow, from what its processes counted: the lines of `moai run --stats` that name
// operators and lines of the program. All take what add_up_stats() returns, parsed; a part that is
// absent or odd is passed over.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace moai::cli {

// "12.3 ms", "1.20 s".
std::string format_ms(double ms);
// ", 1.5 a step", or nothing where there were none.
std::string per_step(double n, const nlohmann::json& stats);

// At most 3 lines each, indented like the block, or nothing.
std::string busiest_reads(const nlohmann::json& stats);
std::string reasons_of_new_segments(const nlohmann::json& stats);
std::string costliest_fallbacks(const nlohmann::json& stats);
// One line about what cost most of all that a program can avoid, or nothing where it is little.
std::string advice(const nlohmann::json& stats);

}  // namespace moai::cli
