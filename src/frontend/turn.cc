// Hand-over of the connection between threads.
#include "src/frontend/turn.h"

#include <algorithm>

namespace moai::frontend {

bool Turn::acquire(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds most) {
  using Clock = std::chrono::steady_clock;
  if (is_held_) {
    Clock::time_point end = Clock::now() + most;
    wanted_.fetch_add(1, std::memory_order_relaxed);
    while (is_held_ && Clock::now() < end) {
      // Again and again: the holder may have been just about to sleep when the first one came.
      if (Connection* c = connection_.load()) c->wake();
      freed_.wait_until(lock, std::min(end, Clock::now() + std::chrono::milliseconds(5)));
    }
    wanted_.fetch_sub(1, std::memory_order_relaxed);
    if (is_held_) return false;
  }
  is_held_ = true;
  count_.fetch_add(1, std::memory_order_relaxed);
  freed_.notify_all();  // a yielder waits for this
  return true;
}

bool Turn::try_lock_for(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return acquire(lock, most);
}

void Turn::unlock() {
  std::lock_guard lock(mutex_);
  is_held_ = false;
  if (is_wanted()) freed_.notify_all();
}

void Turn::yield() {
  std::unique_lock lock(mutex_);
  if (!is_wanted()) return;
  uint64_t before = count();
  is_held_ = false;
  freed_.notify_all();
  freed_.wait(lock, [&] { return count() != before || !is_wanted(); });
  while (!acquire(lock, std::chrono::seconds(60))) {
  }
}

}  // namespace moai::frontend
