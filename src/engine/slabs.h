// Windows of a session that the client writes uploads into.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "moai/transport.h"
#include "src/engine/line.h"

namespace moai::engine {

class Slabs {
 public:
  Slabs(Line& line, uint64_t memory_bytes);
  ~Slabs();
  Slabs(const Slabs&) = delete;
  Slabs& operator=(const Slabs&) = delete;

  // The first ones, before the client asks.
  Status start();
  // The client has something larger, or nothing free.
  Status want(uint64_t bytes);
  // The bytes of an upload. Returns invalid_argument when they are in no window.
  StatusOr<std::span<const std::byte>> find(const wire::Upload& upload) const;
  // They were moved out: the range is the client's again. Grants another slab once one is half
  // used.
  Status release(const wire::Upload& upload);

 private:
  struct Slab {
    Region region;
    Window window;
  };
  Status grant(uint64_t bytes);
  Line& line_;
  uint64_t slab_bytes_;
  uint64_t granted_bytes_ = 0;
  size_t small_count_ = 0;
  std::vector<Slab> slabs_;
};

}  // namespace moai::engine
