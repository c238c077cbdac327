// Runs a recording through a session of its own, without a client.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "moai/status.h"

namespace moai::engine {

struct ReplayOptions {
  uint64_t memory_bytes = 0;
  int threads = 0;
  std::string trace_path;
};
struct ReplayResult {
  uint64_t messages = 0, segments_run = 0, plans_built = 0, busy_ns = 0, wall_ns = 0,
           bytes_read = 0;
  uint64_t plan_ns = 0, planned_ops = 0;  // from segment to program, without loading it
  std::vector<std::string> errors;
};

StatusOr<ReplayResult> replay(const std::string& path, const ReplayOptions& options);

}  // namespace moai::engine
