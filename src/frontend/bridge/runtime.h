// The process-wide state of the bridge: the session, its recorder, counters. Made at first use,
// never freed (tensors die after static destructors ran).
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "src/base/stats_lines.h"
#include "src/frontend/bridge/read_log.h"
#include "src/frontend/capture.h"
#include "src/frontend/session.h"

namespace moai::bridge {

struct FallbackCount {
  uint64_t calls = 0, bytes = 0;
  double milliseconds = 0;
};

class Runtime {
 public:
  Runtime();

  frontend::Session& session() { return *session_; }
  frontend::Recorder& recorder() { return recorder_; }
  // Who is told what this process counted.
  const StatsLines& stats_lines() const { return stats_lines_; }

  // Hands the open segment over; throws what is pending.
  void cut(bool is_step = false);
  // Cut, and wait for the device.
  void synchronize();
  // After each record: cuts a long segment; waits when launches are blocking.
  void after_record();

  // Throws when this process may not use the device (a fork of a connected process).
  void check_usable() const;
  bool is_bad_fork() const { return is_bad_fork_.load(std::memory_order_relaxed); }

  void count_fallback(const std::string& op, uint64_t bytes, double milliseconds);
  std::map<std::string, FallbackCount> fallbacks() const;
  // Values that the program waited for.
  ReadLog& reads() { return reads_; }
  bool is_fallback_refused() const { return refuses_fallback_; }
  bool is_blocking() const { return is_blocking_; }

  // Memory of the accelerator; connects. 0 while nothing is known and `may_connect` is false.
  uint64_t total_memory(bool may_connect);

  // The same as far as it is known without asking: 0 before.
  uint64_t known_memory() const { return total_memory_.load(std::memory_order_relaxed); }

  // In a fork child: a copy of a live connection must not be touched, so the device is gone there.
  void forked_in_child();

 private:
  StatsLines stats_lines_;  // the session uses it
  std::unique_ptr<frontend::Session> session_;
  frontend::Recorder recorder_;
  std::atomic<bool> is_bad_fork_{false};
  std::atomic<uint64_t> total_memory_{0};
  bool is_blocking_ = false, refuses_fallback_ = false;
  mutable std::mutex counts_mutex_;
  std::map<std::string, FallbackCount> fallbacks_;
  ReadLog reads_;
};

Runtime& runtime();
bool has_runtime();

// Waits run this every 50 ms: false when a signal handler raised (signals.cc).
bool poll_signals();

}  // namespace moai::bridge
