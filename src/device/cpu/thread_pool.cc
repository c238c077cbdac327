#include "src/device/cpu/thread_pool.h"

#include <unistd.h>

#include "src/base/clock.h"

namespace moai::cpu {
namespace {

// 20 us: about what a futex wake-up costs, so waiting longer than this never wins.
constexpr uint64_t kSpinNs = 20000;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until value differs from `seen`; returns it.
uint32_t wait_change(std::atomic<uint32_t>& value, uint32_t seen, bool may_spin) {
  uint32_t now = value.load(std::memory_order_acquire);
  if (now != seen) return now;
  const uint64_t until = may_spin ? now_ns() + kSpinNs : 0;
  while (may_spin) {
    for (int i = 0; i < 16; i++) {
      now = value.load(std::memory_order_acquire);
      if (now != seen) return now;
      pause_cpu();
    }
    if (now_ns() >= until) break;
  }
  while ((now = value.load(std::memory_order_acquire)) == seen) value.wait(seen);
  return now;
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : size_(threads < 1 ? 1 : threads), may_spin_(size_ <= sysconf(_SC_NPROCESSORS_ONLN)) {
  for (int i = 1; i < size_; i++) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::fork_join(int64_t count) {
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<uint32_t>(size_ - 1), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take_chunks(0);
  for (uint32_t left; (left = running_.load(std::memory_order_acquire)) != 0;)
    wait_change(running_, left, may_spin_);
}

void ThreadPool::take_chunks(int thread) {
  for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
    call_(context_, i, thread);
}

void ThreadPool::work(int thread) {
  for (uint32_t seen = 0;;) {
    seen = wait_change(generation_, seen, may_spin_);
    if (stop_) return;
    take_chunks(thread);
    if (running_.fetch_sub(1, std::memory_order_release) == 1) running_.notify_one();
  }
}

}  // namespace moai::cpu
