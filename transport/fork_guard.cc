#include "transport/fork_guard.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

namespace moai::transport {
namespace {

constexpr int kSlots = 1024;
// Stored as descriptor + 1, so that zeroed memory means free; plain atomics, because the handler
// runs where no lock can be trusted.
std::atomic<int> slots[kSlots];
std::atomic<uint32_t> forks{0};

void in_child() {
  forks.fetch_add(1, std::memory_order_relaxed);
  for (auto& slot : slots)
    if (const int taken = slot.exchange(0); taken != 0) ::close(taken - 1);
}

uint32_t register_once() {
  static const int done = ::pthread_atfork(nullptr, nullptr, in_child);
  static_cast<void>(done);
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

ForkGuard::ForkGuard(int socket) : forks_(register_once()) {
  for (int i = 0; i < kSlots && slot_ < 0; i++) {
    int none = 0;
    if (slots[i].compare_exchange_strong(none, socket + 1)) slot_ = i;
  }
}

ForkGuard::~ForkGuard() { release(); }

bool ForkGuard::is_in_child() const { return forks_ != forks.load(std::memory_order_relaxed); }

void ForkGuard::release() {
  if (slot_ >= 0 && !is_in_child()) slots[slot_].store(0);
  slot_ = -1;
}

}  // namespace moai::transport
