// Blocks of device memory by size class, kept for reuse so that a steady step allocates nothing.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moai/device.h"
#include "moai/status.h"

namespace moai::engine {

// Where a session's memory comes from: extents that the supervisor lends, or a fixed amount.
class MemoryLender {
 public:
  virtual ~MemoryLender() = default;
  // At least `bytes` more, or 0 when there is not so much.
  virtual uint64_t borrow(uint64_t bytes) = 0;
  virtual void give_back(uint64_t bytes) = 0;
  // What could be borrowed now, for messages.
  virtual uint64_t available() = 0;
};

// A fixed amount for one session.
class FixedLender final : public MemoryLender {
 public:
  explicit FixedLender(uint64_t bytes) : left_(bytes) {}
  uint64_t borrow(uint64_t bytes) override;
  void give_back(uint64_t bytes) override { left_ += bytes; }
  uint64_t available() override { return left_; }

 private:
  uint64_t left_;
};

struct Block {
  std::byte* data = nullptr;
  uint64_t bytes = 0;  // of its size class
};

class BlockPool {
 public:
  BlockPool(Device& device, MemoryLender& lender) : device_(device), lender_(lender) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Eight classes a doubling: at most an eighth is lost. 0 bytes still get a block.
  static uint64_t class_bytes(uint64_t bytes);

  // Returns resource_exhausted when neither kept blocks nor the lender have room.
  StatusOr<Block> take(uint64_t bytes);
  void put(Block block);
  // Hands kept blocks back to the device and whole extents to the lender.
  void trim();

  uint64_t used_bytes() const { return used_; }
  // Whether that much can be taken. Asks the lender, another process, only if what it granted falls
  // short.
  bool has_room(uint64_t bytes);
  // What a take() could still get: kept, granted and lendable. Asks the lender.
  uint64_t available_bytes();
  uint64_t device_allocations() const { return device_allocations_; }

 private:
  static size_t class_index(uint64_t class_bytes);
  bool make_room(uint64_t bytes);
  void release_kept();
  Device& device_;
  MemoryLender& lender_;
  std::array<std::vector<std::byte*>, 512> kept_;
  uint64_t granted_ = 0;  // by the lender
  uint64_t held_ = 0;     // from the device: used and kept
  uint64_t used_ = 0;
  uint64_t device_allocations_ = 0;
};

}  // namespace moai::engine
