// Mapped memory: private anonymous, or shared and sealed against resizing.
#pragma once
#include <cstddef>
#include <cstdint>

#include "moai/status.h"
#include "src/base/fd.h"

namespace moai {

// Owns an address range; unmaps it when it dies.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& o) noexcept : data_(o.data_), bytes_(o.bytes_) {
    o.data_ = nullptr, o.bytes_ = 0;
  }
  Mapping& operator=(Mapping&& o) noexcept;
  ~Mapping() { reset(); }
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  void reset();

  static StatusOr<Mapping> anonymous(uint64_t bytes);
  // Requires: check_shared_memory(fd, bytes) passed, or the file is our own.
  static StatusOr<Mapping> shared(int fd, uint64_t bytes);

 private:
  static StatusOr<Mapping> map(int fd, uint64_t bytes);
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// Zeroed memory behind a descriptor that other processes may map; its size can never change.
StatusOr<Fd> make_shared_memory(const char* name, uint64_t bytes);
// Whether a descriptor from a peer is shared memory of at least `bytes` that cannot shrink under
// us: touching a range that was cut off would end this process with SIGBUS.
Status check_shared_memory(int fd, uint64_t bytes);

}  // namespace moai
