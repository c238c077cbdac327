#include "transport/regions.h"

#include <algorithm>
#include <string>

#include "moai/limits.h"

namespace moai::transport {
namespace {

void end_generation(RegionTable::Entry& e) {
  e.is_granted = false;
  e.generation = e.generation == 0xFFFFFF ? 1 : e.generation + 1;
}

}  // namespace

Status outside_window(uint64_t offset, uint64_t bytes, uint64_t size) {
  return invalid("[transport] bytes " + std::to_string(offset) + "+" + std::to_string(bytes) +
                 " lie outside a window of " + std::to_string(size));
}

Status stale_window() {
  return {StatusCode::not_found, "[transport] the window is unknown or was revoked"};
}

Status GrantList::grant(const Window& w) {
  const uint64_t slot = slot_of(w.handle);
  if (slot >= kRegionsMax || generation_of(w.handle) == 0 || w.bytes == 0 ||
      w.bytes > kWindowBytesMax)
    return invalid("[transport] the peer granted a window that cannot be");
  while (windows_.size() <= slot) windows_.emplace_back();
  windows_[slot] = w;
  return {};
}

void GrantList::revoke(uint64_t handle) {
  const uint64_t slot = slot_of(handle);
  if (slot < windows_.size() && windows_[slot].handle == handle) windows_[slot] = {};
}

void GrantList::forget(uint64_t slot) {
  if (slot < windows_.size()) windows_[slot] = {};
}

// The Window came in a message, so its size is a claim; the grant is the truth.
Status GrantList::check(const Window& w, uint64_t offset, uint64_t bytes) const {
  const uint64_t slot = slot_of(w.handle);
  if (w.handle == 0 || slot >= windows_.size() || windows_[slot].handle != w.handle)
    return stale_window();
  const uint64_t size = std::min(w.bytes, windows_[slot].bytes);
  return is_inside(offset, bytes, size) ? ok_status() : outside_window(offset, bytes, size);
}

StatusOr<Region> RegionTable::make(uint64_t bytes) {
  if (bytes == 0 || bytes > kWindowBytesMax)
    return invalid("[transport] a region of " + std::to_string(bytes) +
                   " bytes is not possible; use 1 to " + std::to_string(kWindowBytesMax));
  size_t slot = 0;
  while (slot < entries_.size() && entries_[slot].bytes != 0) slot++;
  if (slot == kRegionsMax)
    return Status(StatusCode::resource_exhausted, "[transport] a connection has at most " +
                                                      std::to_string(kRegionsMax) +
                                                      " regions; free some first");
  Fd file;
  Mapping memory;
  if (kind_ == Kind::shared_memory) {
    MOAI_ASSIGN_OR_RETURN(file, make_shared_memory("moai-region", bytes));
    MOAI_ASSIGN_OR_RETURN(memory, Mapping::shared(file.fd(), bytes));
  } else {
    MOAI_ASSIGN_OR_RETURN(memory, Mapping::anonymous(bytes));
  }
  if (slot == entries_.size()) entries_.emplace_back();
  Entry& e = entries_[slot];
  e.memory = std::move(memory), e.file = std::move(file), e.bytes = bytes, e.is_passed = false;
  return Region{e.memory.data(), bytes, slot};
}

RegionTable::Entry* RegionTable::find(const Region& r) {
  if (r.slot >= entries_.size() || r.data == nullptr) return nullptr;
  Entry& e = entries_[r.slot];
  return e.memory.data() == r.data ? &e : nullptr;
}

StatusOr<Window> RegionTable::grant(const Region& r) {
  Entry* e = find(r);
  if (!e) return invalid("[transport] the region is not of this connection");
  e->is_granted = true;
  return Window{make_handle(e->generation, r.slot), e->bytes};
}

Status RegionTable::revoke(const Window& w) {
  const uint64_t slot = slot_of(w.handle);
  if (slot >= entries_.size()) return stale_window();
  Entry& e = entries_[slot];
  if (!e.is_granted || e.generation != generation_of(w.handle)) return stale_window();
  end_generation(e);
  return {};
}

bool RegionTable::free(const Region& r) {
  Entry* e = find(r);
  if (!e) return false;
  end_generation(*e);
  e->memory.reset(), e->file.reset();
  e->bytes = 0, e->is_passed = false;
  return true;
}

StatusOr<std::span<std::byte>> RegionTable::access(uint64_t handle, uint64_t offset,
                                                   uint64_t bytes) {
  const uint64_t slot = slot_of(handle);
  if (slot >= entries_.size()) return stale_window();
  Entry& e = entries_[slot];
  if (!e.is_granted || e.generation != generation_of(handle)) return stale_window();
  if (!is_inside(offset, bytes, e.bytes)) return outside_window(offset, bytes, e.bytes);
  return std::span(e.memory.data() + offset, bytes);
}

}  // namespace moai::transport
