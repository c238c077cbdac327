// The process of one session: takes its socket from the supervisor, serves it, ends.
#pragma once
#include <cstdint>
#include <string>

namespace moai::engine {

struct WorkerOptions {
  int control_fd = -1;  // to the supervisor
  std::string device = "cpu";
  uint64_t memory_bytes = 0;  // of the accelerator
  int threads = 0;            // 0: the cores that this process may use
};

// Returns the exit status.
int run_worker(const WorkerOptions& options);

}  // namespace moai::engine
