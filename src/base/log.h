// Lines for people on stderr: "[info] text". A line is one write, so processes do not mix inside
// it.
#pragma once
#include <string_view>

namespace moai {

enum class LogLevel { debug, info, warning, error };

// Below this level nothing is printed. Default info; MOAI_LOG=debug|info|warning|error changes it.
void log(LogLevel, std::string_view text);
inline void log_info(std::string_view t) { log(LogLevel::info, t); }
inline void log_warning(std::string_view t) { log(LogLevel::warning, t); }
inline void log_error(std::string_view t) { log(LogLevel::error, t); }

}  // namespace moai
