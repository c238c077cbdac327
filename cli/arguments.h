// Values of options that several commands share: looked at before anything starts. A refusal begins
// with the option's name.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "moai/status.h"

namespace moai::cli {

inline constexpr int kThreadsMax = 1024;

// 1 to kThreadsMax; empty: 0, which is one a core.
StatusOr<int> threads_from(std::string_view text);

// An amount above nothing; empty: what this machine can lend.
StatusOr<uint64_t> device_memory_from(std::string_view text);

// The number of a device, from 0.
StatusOr<uint32_t> index_from(std::string_view text);

// A time to wait between two tables of `moai smi --watch`.
StatusOr<double> seconds_from(std::string_view text);

// Words that `moai run --require` may hold, comma-separated, and that something here keeps.
Status check_require(std::string_view list);

// graph, plan, kernel, comma-separated; WHAT:FOLDER.
Status check_dump(const std::string& text);
// What check_dump took, with the folder made whole, there, and ready to be written to.
StatusOr<std::string> prepare_dump(const std::string& text);

}  // namespace moai::cli
