// Memory of this side that the server writes read-backs into; kept and used again.
#pragma once
#include <cstdint>
#include <vector>

#include "moai/transport.h"

namespace moai::frontend {

class ReadWindows {
 public:
  struct Entry {
    Region region;
    Window window;
    uint64_t tag = 0;  // of the read that uses it; 0: free
  };

  // A window of at least so many bytes for this read. Valid until the next call.
  StatusOr<const Entry*> acquire(Connection& connection, uint64_t bytes, uint64_t tag);
  // The answer came, or never will.
  void release(Connection& connection, uint64_t tag);
  void release_all(Connection& connection);

 private:
  static void drop(Connection& connection, Entry& entry);
  void shrink(Connection& connection);
  std::vector<Entry> entries_;
};

}  // namespace moai::frontend
