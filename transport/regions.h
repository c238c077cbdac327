// The memory that one side of a connection made for its peer: slots, grants, and the check of every
// access.
#pragma once
#include <deque>
#include <span>

#include "moai/transport.h"
#include "src/base/fd.h"
#include "src/base/mapping.h"

namespace moai::transport {

// A window handle is (generation:24, slot:40). Generations begin at 1, so no handle is 0.
constexpr uint64_t make_handle(uint32_t generation, uint64_t slot) {
  return uint64_t{generation} << 40 | slot;
}
constexpr uint32_t generation_of(uint64_t handle) { return static_cast<uint32_t>(handle >> 40); }
constexpr uint64_t slot_of(uint64_t handle) { return handle & ((uint64_t{1} << 40) - 1); }

// [offset, offset + bytes) lies inside `size`, whatever the numbers.
constexpr bool is_inside(uint64_t offset, uint64_t bytes, uint64_t size) {
  return offset <= size && bytes <= size - offset;
}
Status outside_window(uint64_t offset, uint64_t bytes, uint64_t size);
Status stale_window();

// What the peer granted to this side, so that a wrong access is refused before anything moves.
class GrantList {
 public:
  // Fails for a slot that cannot be.
  Status grant(const Window&);
  void revoke(uint64_t handle);
  // Whatever is granted at this slot.
  void forget(uint64_t slot);
  Status check(const Window&, uint64_t offset, uint64_t bytes) const;

 private:
  std::deque<Window> windows_;  // by slot; handle 0: none
};

class RegionTable {
 public:
  struct Entry {
    Mapping memory;
    Fd file;  // of shared regions
    uint64_t bytes = 0;
    uint32_t generation = 1;
    bool is_granted = false;
    bool is_passed = false;  // the peer has the file
  };
  enum class Kind { private_memory, shared_memory };

  explicit RegionTable(Kind kind) : kind_(kind) {}
  StatusOr<Region> make(uint64_t bytes);
  // The entry of a region of this table, or null.
  Entry* find(const Region&);
  // Granting twice gives the same window.
  StatusOr<Window> grant(const Region&);
  // Ends the window: its handle never becomes valid again.
  Status revoke(const Window&);
  // False when the region is not of this table.
  bool free(const Region&);
  // Where the peer's access lands, after all checks.
  StatusOr<std::span<std::byte>> access(uint64_t handle, uint64_t offset, uint64_t bytes);

 private:
  const Kind kind_;
  std::deque<Entry> entries_;  // by slot
};

}  // namespace moai::transport
