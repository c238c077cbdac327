// Addresses without memory.
#include "src/frontend/bridge/reservation.h"

#include <sys/mman.h>

namespace moai::bridge {

// 64 TiB is half of the address space of a process; address space limits and sanitizers may leave
// less.
bool Reservation::map() {
  for (size_t size = size_t{64} << 40; size >= size_t{1} << 30; size /= 4) {
    void* p = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    begin_ = static_cast<char*>(p);
    size_ = size;
    return true;
  }
  return false;
}

void* Reservation::take(size_t bytes) {
  if (!begin_ && !map()) return nullptr;
  size_t size = rounded(bytes);
  if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
    void* p = it->second.back();
    it->second.pop_back();
    return p;
  }
  if (size > size_ - top_) return nullptr;
  void* p = begin_ + top_;
  top_ += size;
  return p;
}

void Reservation::give(void* address, size_t bytes) { free_[rounded(bytes)].push_back(address); }

bool Reservation::holds(const void* p) const { return begin_ && p >= begin_ && p < begin_ + size_; }

}  // namespace moai::bridge
