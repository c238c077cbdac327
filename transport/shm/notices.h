// What goes over the unix socket beside the rings: grants with their memory, revocations. And the
// peer's memory that this side has mapped because of them.
#pragma once
#include <deque>
#include <span>
#include <vector>

#include "moai/clock.h"
#include "moai/transport.h"
#include "src/base/fd.h"
#include "src/base/mapping.h"
#include "transport/regions.h"

namespace moai::transport {

enum class NoticeKind : uint32_t {
  grant = 1,   // the window is valid; brings the memory the first time
  revoke = 2,  // the window is no longer valid
  drop = 3,    // the region is gone: unmap
};

struct Notice {
  NoticeKind kind = NoticeKind::grant;
  uint64_t handle = 0, bytes = 0;
};

Status send_notice(int socket, const Notice&, int fd, Deadline);

// Collects packets that may arrive in pieces.
class NoticeReader {
 public:
  struct Received {
    Notice notice;
    Fd fd;
  };
  // The next notice; `again` when none has arrived, `unavailable` at the end of the stream.
  StatusOr<Received> next(int socket);

 private:
  static constexpr size_t kBytes = 24;
  std::byte raw_[kBytes];
  size_t have_ = 0;
  std::vector<Fd> fds_;
};

// Memory of the peer. A revoked window is refused here, on the writer's side: the peer trusts us
// with a mapping.
class PeerWindows {
 public:
  Status apply(NoticeReader::Received);
  StatusOr<std::span<std::byte>> access(const Window&, uint64_t offset, uint64_t bytes);
  void clear() { memory_.clear(); }

 private:
  Status grant(size_t slot, NoticeReader::Received);
  GrantList grants_;
  std::deque<Mapping> memory_;  // by slot
};

}  // namespace moai::transport
