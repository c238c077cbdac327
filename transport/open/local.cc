#include "transport/open/local.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>

namespace moai::transport {

StatusOr<std::pair<Socket, Socket>> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return unavailable("[transport] no pair of sockets can be made: " + errno_text(errno));
  return std::pair(Socket(fds[0]), Socket(fds[1]));
}

}  // namespace moai::transport
