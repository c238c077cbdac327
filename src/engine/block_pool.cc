#include "src/engine/block_pool.h"

#include <bit>

#include "moai/limits.h"

namespace moai::engine {

namespace {
constexpr uint64_t kStepsADoubling = 8;

constexpr uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }
}  // namespace

uint64_t FixedLender::borrow(uint64_t bytes) {
  if (bytes > left_) return 0;
  left_ -= bytes;
  return bytes;
}

BlockPool::~BlockPool() { trim(); }

uint64_t BlockPool::class_bytes(uint64_t bytes) {
  if (bytes <= kBlockAlignBytes * kStepsADoubling)
    return bytes == 0 ? kBlockAlignBytes : round_up(bytes, kBlockAlignBytes);
  return round_up(bytes, std::bit_floor(bytes - 1) / kStepsADoubling);
}

size_t BlockPool::class_index(uint64_t class_bytes) {
  uint64_t floor = std::bit_floor(class_bytes);
  uint64_t step = floor / kStepsADoubling;
  uint64_t log = static_cast<uint64_t>(std::countr_zero(floor));
  return log * kStepsADoubling + (step == 0 ? 0 : (class_bytes - floor) / step);
}

StatusOr<Block> BlockPool::take(uint64_t bytes) {
  if (bytes > kStorageBytesMax)
    return Status{StatusCode::resource_exhausted, "[memory] a block may have at most 64 TiB"};
  uint64_t size = class_bytes(bytes);
  std::vector<std::byte*>& kept = kept_[class_index(size)];
  if (!kept.empty()) {
    Block block{kept.back(), size};
    kept.pop_back();
    used_ += size;
    return block;
  }
  void* data = nullptr;
  if (make_room(size)) {
    device_allocations_++;
    data = device_.allocate(size);
    if (data == nullptr) {
      release_kept();
      data = device_.allocate(size);
    }
  }
  if (data == nullptr)
    return Status{StatusCode::resource_exhausted, "[memory] no room for a block"};
  held_ += size;
  used_ += size;
  return Block{static_cast<std::byte*>(data), size};
}

bool BlockPool::make_room(uint64_t bytes) {
  for (bool trimmed : {false, true}) {
    if (trimmed) release_kept();
    if (held_ + bytes <= granted_) return true;
    uint64_t missing = held_ + bytes - granted_;
    uint64_t given = lender_.borrow(round_up(missing, kExtentBytes));
    if (given == 0) given = lender_.borrow(missing);
    granted_ += given;
    if (given != 0) return true;
  }
  return false;
}

void BlockPool::put(Block block) {
  if (block.data == nullptr) return;
  used_ -= block.bytes;
  kept_[class_index(block.bytes)].push_back(block.data);
}

void BlockPool::release_kept() {
  for (size_t i = 0; i < kept_.size(); i++) {
    if (kept_[i].empty()) continue;
    uint64_t floor = uint64_t{1} << (i / kStepsADoubling);
    uint64_t size = floor + i % kStepsADoubling * (floor / kStepsADoubling);
    for (std::byte* data : kept_[i]) device_.free(data, size);
    held_ -= size * kept_[i].size();
    kept_[i].clear();
  }
}

void BlockPool::trim() {
  release_kept();
  uint64_t needed = round_up(held_, kExtentBytes);
  if (granted_ <= needed) return;
  lender_.give_back(granted_ - needed);
  granted_ = needed;
}

bool BlockPool::has_room(uint64_t bytes) {
  return bytes <= granted_ - used_ || bytes <= available_bytes();
}

uint64_t BlockPool::available_bytes() { return granted_ - used_ + lender_.available(); }

}  // namespace moai::engine
