#include "src/engine/value_table.h"

#include <string>

#include "src/base/hash.h"

namespace moai::engine {

size_t ValueTable::home(uint64_t id) const {
  return fold_multiply(id, 0x9E3779B97F4A7C15ull) & (places_.size() - 1);
}

size_t ValueTable::place_of(uint64_t id) const {
  size_t at = home(id);
  while (places_[at].id != 0 && places_[at].id != id) at = (at + 1) & (places_.size() - 1);
  return at;
}

const Stored* ValueTable::find(uint64_t id) const {
  if (id == 0) return nullptr;
  const Stored& place = places_[place_of(id)];
  return place.id == id ? &place : nullptr;
}

void ValueTable::insert(const Stored& stored) {
  places_[place_of(stored.id)] = stored;
  size_++;
}

void ValueTable::grow() {
  std::vector<Stored> old(places_.size() * 2);
  old.swap(places_);
  size_ = 0;
  for (const Stored& stored : old)
    if (stored.id != 0) insert(stored);
}

void ValueTable::put(uint64_t id, uint64_t bytes, Block block) {
  erase(id);
  if ((size_ + 1) * 2 > places_.size()) grow();
  insert({id, bytes, block, 0});
  live_bytes_ += block.bytes;
}

void ValueTable::put_poisoned(uint64_t id, uint64_t bytes, uint32_t poison) {
  erase(id);
  if ((size_ + 1) * 2 > places_.size()) grow();
  insert({id, bytes, {}, poison});
}

void ValueTable::erase(uint64_t id) {
  if (id == 0) return;
  size_t hole = place_of(id);
  if (places_[hole].id != id) return;
  live_bytes_ -= places_[hole].block.bytes;
  pool_.put(places_[hole].block);
  size_--;
  // Closes the gap, so that a search may stop at the first empty place.
  size_t mask = places_.size() - 1;
  for (size_t at = (hole + 1) & mask; places_[at].id != 0; at = (at + 1) & mask) {
    if (((at - home(places_[at].id)) & mask) < ((at - hole) & mask)) continue;
    places_[hole] = places_[at];
    hole = at;
  }
  places_[hole] = {};
}

void ValueTable::clear() {
  for (Stored& stored : places_) {
    if (stored.id != 0) pool_.put(stored.block);
    stored = {};
  }
  size_ = 0;
  live_bytes_ = 0;
}

uint64_t view_bytes(const wire::View& view) {
  return static_cast<uint64_t>(view.sizes.numel()) * size_of(view.dtype);
}

Status check_view(const wire::View& view, uint64_t storage_bytes) {
  if (static_cast<int>(view.dtype) >= kDTypeCount || view.sizes.rank() != view.strides.rank())
    return invalid("[view] the dtype or the rank of its strides is wrong");
  __extension__ using Wide = __int128;
  Wide low = view.offset, high = view.offset, count = 1;
  for (int i = 0; i < view.sizes.rank(); i++) {
    if (view.sizes[i] < 0) return invalid("[view] a size is negative");
    count *= view.sizes[i];
    if (count > static_cast<Wide>(kStorageBytesMax))
      return invalid("[view] it has too many elements");
    Wide reach = static_cast<Wide>(view.sizes[i] - 1) * view.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  if (count == 0) return ok_status();
  Wide size = static_cast<Wide>(size_of(view.dtype));
  if (low < 0 || (high + 1) * size > static_cast<Wide>(storage_bytes))
    return invalid("[view] it reaches outside its storage of " + std::to_string(storage_bytes) +
                   " bytes");
  return ok_status();
}

}  // namespace moai::engine
