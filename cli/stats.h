// What the processes of a run counted, for people.
#pragma once
#include <string>

namespace moai::cli {

// The block of `moai run --stats`: one line each, with units. json_text: what add_up_stats()
// returns.
std::string format_stats(const std::string& json_text);

}  // namespace moai::cli
