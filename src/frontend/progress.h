// "[info] Waiting for the accelerator: reading 4.0 MiB, 00:00:03" while a wait is long.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace moai::frontend {

// "4.0 MiB"
std::string size_text(uint64_t bytes);
// "00:00:03"
std::string duration_text(uint64_t ns);

// The line of one wait. On a terminal it is rewritten each second and gone at the end; elsewhere a
// whole line each minute, so that logs stay short, or as often as is said.
class ProgressLine {
 public:
  explicit ProgressLine(double log_seconds = 60);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void tick(std::string_view what, uint64_t waited_ns);

 private:
  bool is_terminal_, is_shown_ = false;
  uint64_t period_ns_, next_ns_;
};

}  // namespace moai::frontend
