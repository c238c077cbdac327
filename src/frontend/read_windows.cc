// Grows in powers of two; large ones do not stay.
#include "src/frontend/read_windows.h"

#include <algorithm>
#include <bit>

namespace moai::frontend {
namespace {

constexpr uint64_t kWindowBytesMin = 64 << 10;
constexpr uint64_t kKeptBytesMax = uint64_t{64} << 20;
constexpr size_t kKeptMax = 2;

}  // namespace

void ReadWindows::drop(Connection& connection, Entry& entry) {
  // A connection that cannot revoke is at its end, and its memory goes with it.
  if (connection.revoke(entry.window).ok()) connection.free_region(entry.region);
}

StatusOr<const ReadWindows::Entry*> ReadWindows::acquire(Connection& connection, uint64_t bytes,
                                                         uint64_t tag) {
  Entry* best = nullptr;
  for (Entry& e : entries_)
    if (e.tag == 0 && e.region.bytes >= bytes && (!best || e.region.bytes < best->region.bytes))
      best = &e;
  if (best == nullptr) {
    Entry made;
    uint64_t rounded =
        bytes > kKeptBytesMax ? bytes : std::bit_ceil(std::max(bytes, kWindowBytesMin));
    MOAI_ASSIGN_OR_RETURN(made.region, connection.make_region(rounded));
    StatusOr<Window> window = connection.grant(made.region);
    if (!window.ok()) {
      connection.free_region(made.region);
      return window.status();
    }
    made.window = *window;
    entries_.push_back(made);
    best = &entries_.back();
  }
  best->tag = tag;
  return static_cast<const Entry*>(best);
}

void ReadWindows::release(Connection& connection, uint64_t tag) {
  for (Entry& e : entries_)
    if (e.tag == tag) e.tag = 0;
  shrink(connection);
}

void ReadWindows::release_all(Connection& connection) {
  for (Entry& e : entries_) e.tag = 0;
  shrink(connection);
}

void ReadWindows::shrink(Connection& connection) {
  std::erase_if(entries_, [&](Entry& e) {
    bool is_extra = e.tag == 0 && e.region.bytes > kKeptBytesMax;
    if (is_extra) drop(connection, e);
    return is_extra;
  });
  while (entries_.size() > kKeptMax) {
    auto at =
        std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.tag == 0; });
    if (at == entries_.end()) return;
    drop(connection, *at);
    entries_.erase(at);
  }
}

}  // namespace moai::frontend
