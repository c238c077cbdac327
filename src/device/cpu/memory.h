// Blocks of memory for a device: anonymous mappings, huge pages advised, freed ones kept by size.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

namespace moai::cpu {

// One thread. A steady loop of equal sizes maps nothing.
class BlockCache {
 public:
  explicit BlockCache(uint64_t limit_bytes) : limit_(limit_bytes) {}
  ~BlockCache() { release_all(); }
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // Returns nullptr when the limit is reached or the system has none.
  void* allocate(uint64_t bytes);
  void free(void* block, uint64_t bytes);

 private:
  static uint64_t class_of(uint64_t bytes);
  void release_all();

  const uint64_t limit_;
  uint64_t used_ = 0;    // handed out
  uint64_t cached_ = 0;  // mapped, not handed out
  std::map<uint64_t, std::vector<void*>> free_;
};

}  // namespace moai::cpu
