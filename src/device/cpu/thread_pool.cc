#include "src/device/cpu/thread_pool.h"

#include <sched.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include "src/base/clock.h"
#include "src/base/log.h"

namespace moai::cpu {
namespace {

// 20 us: about what a futex wake-up costs, so waiting longer than this never wins.
constexpr uint64_t kSpinNs = 20000;

// A sleeping worker is worth waking for so many chunks, of some 5 us each.
constexpr int64_t kWakeChunks = 4;

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
    sched_yield();  // others may share the processors
  }
  while ((now = value.load(std::memory_order_acquire)) == seen) value.wait(seen);
  return now;
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : size_(threads < 1 ? 1 : threads), may_spin_(size_ <= sysconf(_SC_NPROCESSORS_ONLN)) {
  for (int i = 1; i < size_; i++) {
    try {
      workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error& error) {  // a limit of processes or memory
      log_warning("device: only " + std::to_string(i) + " of " + std::to_string(size_) +
                  " threads can be started (" + error.code().message() +
                  "); it goes on with these");
      size_ = i;
    }
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  run_.fetch_add(1, std::memory_order_release);
  run_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::fork_join(int64_t first, int64_t count) {
  end_ = first + count;
  left_.store(static_cast<uint32_t>(count), std::memory_order_relaxed);
  const uint32_t run = run_.load(std::memory_order_relaxed) + 1;
  ticket_.store(uint64_t{run} << 32 | static_cast<uint64_t>(count), std::memory_order_release);
  run_.store(run, std::memory_order_release);
  if (count >= kWakeChunks) run_.notify_all();
  take_chunks(0);
  for (uint32_t left; (left = left_.load(std::memory_order_acquire)) != 0;)
    wait_change(left_, left, may_spin_);
}

void ThreadPool::take_chunks(int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(ticket) != 0) {
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
      continue;
    call_(context_, end_ - static_cast<int64_t>(static_cast<uint32_t>(ticket)), thread);
    // Thread 0 is the one that waits.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1 && thread != 0) left_.notify_one();
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  for (uint32_t seen = 0;;) {
    seen = wait_change(run_, seen, may_spin_);
    if (stop_) return;
    take_chunks(thread);
  }
}

}  // namespace moai::cpu
