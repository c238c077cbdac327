// The process-wide state of the bridge.
#include "src/frontend/bridge/runtime.h"

#include <pthread.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "src/base/log.h"
#include "src/base/stats_lines.h"
#include "src/frontend/bridge/errors.h"

namespace moai::bridge {
namespace {

std::atomic<Runtime*> g_runtime{nullptr};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The command line as `ps` shows it.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  for (char& c : text)
    if (c == '\0') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::unique_ptr<frontend::Session> new_session(StatsLines& lines) {
  frontend::SessionOptions options;
  options.server = variable("MOAI_SERVER");
  options.command = command_line();
  options.trace_path = variable("MOAI_TRACE");
  options.poll = poll_signals;
  options.on_connected = [&lines] {
    if (Status status = lines.begin(); !status.ok()) log_warning(status.message());
  };
  return frontend::make_session(std::move(options));
}

}  // namespace

Runtime::Runtime()
    : stats_lines_(variable(kStatsLinesVariable)),
      session_(new_session(stats_lines_)),
      recorder_(*session_),
      reads_(stats_lines_.is_wanted()) {
  if (stats_lines_.is_wanted()) recorder_.explain_segments();
  is_blocking_ = variable("CUDA_LAUNCH_BLOCKING") == "1";
  refuses_fallback_ =
      (',' + variable("MOAI_REQUIRE") + ',').find(",no-fallback,") != std::string::npos;
}

Runtime& runtime() {
  static Runtime* made = [] {
    auto* r = new Runtime();
    g_runtime.store(r);
    pthread_atfork(nullptr, nullptr, [] { g_runtime.load()->forked_in_child(); });
    return r;
  }();
  return *made;
}

bool has_runtime() { return g_runtime.load() != nullptr; }

void Runtime::cut(bool is_step) {
  check_usable();
  throw_if_error(recorder_.cut(is_step));
  if (is_step) reads_.end_step();
}

void Runtime::synchronize() {
  check_usable();
  if (!session_->is_connected() && recorder_.ops_recorded() == 0) return;
  cut();
  throw_if_error(session_->sync(/*plans=*/false));
}

void Runtime::after_record() {
  if (reads_.is_watching()) reads_.note_op();
  if (is_blocking_) return synchronize();
  if (recorder_.wants_cut()) throw_if_error(recorder_.cut_wanted());
}

void Runtime::check_usable() const {
  if (is_bad_fork()) throw_bad_fork();
}

void Runtime::count_fallback(const std::string& op, uint64_t bytes, double milliseconds) {
  std::lock_guard lock(counts_mutex_);
  FallbackCount& count = fallbacks_[op];
  count.calls++;
  count.bytes += bytes;
  count.milliseconds += milliseconds;
}

std::map<std::string, FallbackCount> Runtime::fallbacks() const {
  std::lock_guard lock(counts_mutex_);
  return fallbacks_;
}

uint64_t Runtime::total_memory(bool may_connect) {
  if (uint64_t known = total_memory_.load()) return known;
  if (!may_connect && !session_->is_connected()) return 0;
  StatusOr<frontend::MemoryInfo> info = session_->memory();
  throw_if_error(info.status());
  total_memory_ = info->total_bytes;
  return info->total_bytes;
}

void Runtime::forked_in_child() {
  if (!session_->is_connected()) return;
  is_bad_fork_ = true;
  session_->forked();
}

}  // namespace moai::bridge
