// Storages that are alive at a cut: id -> block of device memory, or the error that poisoned it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "src/engine/block_pool.h"
#include "src/wire/segment.h"

namespace moai::engine {

struct Stored {
  uint64_t id = 0;  // 0: an empty place of the table
  uint64_t bytes = 0;
  Block block;
  uint32_t poison = 0;  // 0: sound; else 1 + index of the error
};

// Open addressing: no allocation while the number of storages stays.
class ValueTable {
 public:
  explicit ValueTable(BlockPool& pool) : pool_(pool), places_(256) {}
  ~ValueTable() { clear(); }
  ValueTable(const ValueTable&) = delete;
  ValueTable& operator=(const ValueTable&) = delete;

  // nullptr when there is none. Valid until the next put or erase.
  const Stored* find(uint64_t id) const;
  // Takes the block over; an older storage of that id dies.
  void put(uint64_t id, uint64_t bytes, Block block);
  // Keeps no memory; every use repeats the error.
  void put_poisoned(uint64_t id, uint64_t bytes, uint32_t poison);
  void erase(uint64_t id);
  void clear();

  size_t size() const { return size_; }
  uint64_t live_bytes() const { return live_bytes_; }

 private:
  size_t home(uint64_t id) const;
  size_t place_of(uint64_t id) const;
  void insert(const Stored&);
  void grow();
  BlockPool& pool_;
  std::vector<Stored> places_;  // a power of two
  size_t size_ = 0;
  uint64_t live_bytes_ = 0;
};

// Whether a view lies inside `storage_bytes` and its bytes can be counted.
Status check_view(const wire::View& view, uint64_t storage_bytes);
uint64_t view_bytes(const wire::View& view);

}  // namespace moai::engine
