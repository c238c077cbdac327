// A forked child must not hold its parent's connections open: their end would never show. And it
// must not use them: both processes would write into one stream.
#pragma once
#include <cstdint>

namespace moai::transport {

// A member of every connection with a socket. The socket is closed in every child that is forked
// while the guard lives; up to 1024 guards work at a time.
class ForkGuard {
 public:
  explicit ForkGuard(int socket);
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
  // True in a child: the descriptor is closed, and its number may be in use for something else.
  bool is_in_child() const;
  // The owner closes the socket itself from now on.
  void release();

 private:
  const uint32_t forks_;
  int slot_ = -1;
};

}  // namespace moai::transport
