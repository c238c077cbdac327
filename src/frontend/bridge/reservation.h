// Addresses without memory: unique while alive, and a host access faults at once.
#pragma once
#include <cstddef>
#include <map>
#include <vector>

namespace moai::bridge {

// Not thread safe: its owner locks. Never unmapped.
class Reservation {
 public:
  // Returns null when no address is left.
  void* take(size_t bytes);
  void give(void* address, size_t bytes);
  bool holds(const void* p) const;

 private:
  static size_t rounded(size_t bytes) { return bytes < 512 ? 512 : (bytes + 511) / 512 * 512; }
  bool map();
  char* begin_ = nullptr;
  size_t size_ = 0, top_ = 0;
  std::map<size_t, std::vector<void*>> free_;  // by rounded size
};

}  // namespace moai::bridge
