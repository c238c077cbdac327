// Which bytes of the server's windows are free for uploads. Bookkeeping only.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "moai/limits.h"

namespace moai::frontend {

struct UploadRange {
  uint64_t window = 0, window_bytes = 0, offset = 0, bytes = 0;
};

class UploadWindows {
 public:
  void add(uint64_t window, uint64_t bytes);
  void remove(uint64_t window);
  // A free range; nullopt when there is none now. Small windows are filled first.
  std::optional<UploadRange> allocate(uint64_t bytes);
  // The server moved the bytes out, or the upload was given up. Unknown ranges are ignored: the
  // window may be gone.
  void release(uint64_t window, uint64_t offset);
  // The largest upload that fits a window, however full.
  uint64_t largest() const;

 private:
  struct Piece {
    uint64_t offset = 0, end = 0;
    bool is_free = false;  // but an older one is not
  };
  struct Ring {
    uint64_t window = 0, bytes = 0;
    std::deque<Piece> used;  // oldest first; they go round
  };
  static std::optional<uint64_t> place(const Ring& ring, uint64_t bytes);

  std::vector<Ring> rings_;  // by bytes
};

}  // namespace moai::frontend
