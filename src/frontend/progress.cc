// One write a line.
#include "src/frontend/progress.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "src/base/log.h"

namespace moai::frontend {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

bool is_info_shown() {
  const char* level = std::getenv("MOAI_LOG");
  std::string_view name = level ? level : "info";
  return name != "warning" && name != "error";
}

void put(const std::string& text) {
  // A line that cannot be shown is no reason to end a wait.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace

std::string size_text(uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  for (; value >= 1024 && unit < 3; unit++) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string duration_text(uint64_t ns) {
  unsigned long long s = ns / kSecondNs;
  char text[32];
  std::snprintf(text, sizeof text, "%02llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
  return text;
}

ProgressLine::ProgressLine(double log_seconds)
    : is_terminal_(::isatty(STDERR_FILENO) == 1),
      period_ns_(is_terminal_ ? kSecondNs : static_cast<uint64_t>(log_seconds * 1e9)),
      next_ns_(period_ns_) {}

ProgressLine::~ProgressLine() {
  if (is_shown_ && is_terminal_) put("\r\x1b[K");
}

void ProgressLine::tick(std::string_view what, uint64_t waited_ns) {
  if (waited_ns < next_ns_) return;
  next_ns_ = waited_ns / kSecondNs * kSecondNs + period_ns_;
  std::string text = "Waiting for the accelerator: ";
  text.append(what).append(", ").append(duration_text(waited_ns));
  if (!is_terminal_) return log_info(text);
  if (!is_info_shown()) return;
  put("\r[info] " + text + "\x1b[K");
  is_shown_ = true;
}

}  // namespace moai::frontend
