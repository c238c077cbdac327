// Each window is a ring of ranges that may come back out of order.
#include "src/frontend/upload_windows.h"

#include <algorithm>

namespace moai::frontend {

void UploadWindows::add(uint64_t window, uint64_t bytes) {
  auto at =
      std::find_if(rings_.begin(), rings_.end(), [&](const Ring& r) { return r.bytes > bytes; });
  rings_.insert(at, Ring{window, bytes, {}});
}

void UploadWindows::remove(uint64_t window) {
  std::erase_if(rings_, [&](const Ring& r) { return r.window == window; });
}

uint64_t UploadWindows::largest() const { return rings_.empty() ? 0 : rings_.back().bytes; }

std::optional<uint64_t> UploadWindows::place(const Ring& ring, uint64_t bytes) {
  if (bytes > ring.bytes) return std::nullopt;
  if (ring.used.empty()) return 0;
  uint64_t head = ring.used.back().end, tail = ring.used.front().offset;
  bool is_wrapped = head <= tail;  // a full ring has head == tail
  if (is_wrapped) return head + bytes <= tail ? std::optional(head) : std::nullopt;
  if (head + bytes <= ring.bytes) return head;
  return bytes <= tail ? std::optional<uint64_t>(0) : std::nullopt;
}

std::optional<UploadRange> UploadWindows::allocate(uint64_t bytes) {
  uint64_t aligned = (bytes + kBlockAlignBytes - 1) / kBlockAlignBytes * kBlockAlignBytes;
  for (Ring& ring : rings_) {
    // The last range of a window whose size is no multiple may be shorter.
    uint64_t take = std::min(aligned, std::max(bytes, ring.bytes));
    std::optional<uint64_t> at = place(ring, take);
    if (!at) continue;
    ring.used.push_back({*at, *at + take});
    return UploadRange{ring.window, ring.bytes, *at, bytes};
  }
  return std::nullopt;
}

void UploadWindows::release(uint64_t window, uint64_t offset) {
  for (Ring& ring : rings_) {
    if (ring.window != window) continue;
    for (Piece& piece : ring.used)
      if (piece.offset == offset && !piece.is_free) {
        piece.is_free = true;
        break;
      }
    while (!ring.used.empty() && ring.used.front().is_free) ring.used.pop_front();
    // Given up right after it was taken.
    while (!ring.used.empty() && ring.used.back().is_free) ring.used.pop_back();
  }
}

}  // namespace moai::frontend
