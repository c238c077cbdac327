#include "src/device/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

namespace moai::cpu {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2u << 20;

void* map_pages(uint64_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (bytes >= kHugePage) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

}  // namespace

// Eight classes a power of two: at most 1/8 of a block is lost.
uint64_t BlockCache::class_of(uint64_t bytes) {
  if (bytes <= kPage) return kPage;
  const uint64_t step = std::max(kPage, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

void* BlockCache::allocate(uint64_t bytes) {
  const uint64_t size = class_of(bytes);
  if (size < bytes || used_ + size > limit_) return nullptr;
  auto it = free_.find(size);
  void* block = nullptr;
  if (it != free_.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
    cached_ -= size;
  } else {
    if (used_ + cached_ + size > limit_) release_all();
    block = map_pages(size);
    if (block == nullptr) {
      release_all();
      block = map_pages(size);
    }
  }
  if (block != nullptr) used_ += size;
  return block;
}

void BlockCache::free(void* block, uint64_t bytes) {
  if (block == nullptr) return;
  const uint64_t size = class_of(bytes);
  free_[size].push_back(block);
  used_ -= size;
  cached_ += size;
}

void BlockCache::release_all() {
  for (auto& [size, blocks] : free_)
    for (void* block : blocks) munmap(block, size);
  free_.clear();
  cached_ = 0;
}

}  // namespace moai::cpu
