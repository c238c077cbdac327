// Unix sockets: the door of a host. Addresses are a path, or a name in the abstract namespace.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "src/base/clock.h"
#include "src/base/fd.h"

namespace moai::transport {

struct UnixAddress {
  std::string text;
  bool is_abstract = false;
};

// Replaces a path that nobody listens at any more; others may not connect to a path (mode 0600).
StatusOr<Fd> listen_unix(const UnixAddress&);
StatusOr<Fd> connect_unix(const UnixAddress&, Deadline);
// The effective uid of the process that connected or listened.
StatusOr<uint32_t> unix_peer_uid(int fd);
// Whether descriptors can pass over this socket.
bool is_unix_socket(int fd);

}  // namespace moai::transport
