// What the bridge counted, as the bridge wrote it, for people.
#pragma once
#include <string>

namespace moai::cli {

// The block of `moai run --stats`: one line each, with units. Empty text: the program used no
// accelerator.
std::string format_stats(const std::string& json_text);

}  // namespace moai::cli
