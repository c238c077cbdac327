#include "transport/socket_pair.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>

namespace moai::transport {

StatusOr<std::pair<Fd, Fd>> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return unavailable("[transport] no pair of sockets can be made: " + errno_text(errno));
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

}  // namespace moai::transport
