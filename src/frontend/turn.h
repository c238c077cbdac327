// Whose turn it is to use the connection. A holder that sleeps in Connection::wait() is woken by
// those who want it.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "moai/transport.h"

namespace moai::frontend {

class Turn {
 public:
  // The connection that a holder may sleep in. It outlives all waiters.
  void set_connection(Connection* connection) { connection_.store(connection); }

  void lock() {
    while (!try_lock_for(std::chrono::seconds(60))) {
    }
  }
  bool try_lock_for(std::chrono::milliseconds most);
  void unlock();
  // Lets those who want the turn have it first. Requires: held.
  void yield();
  bool is_wanted() const { return wanted_.load(std::memory_order_relaxed) != 0; }
  // How often it was taken.
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  bool acquire(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds most);

  std::mutex mutex_;
  std::condition_variable freed_;
  bool is_held_ = false;
  std::atomic<uint32_t> wanted_{0};
  std::atomic<uint64_t> count_{0};
  std::atomic<Connection*> connection_{nullptr};
};

}  // namespace moai::frontend
