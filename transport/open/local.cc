#include "transport/open/local.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace moai::transport {

StatusOr<Socket> accept_on(const Socket& listener) {
  // The listening socket may be a blocking one that was inherited.
  pollfd waiting{listener.fd(), POLLIN, 0};
  if (::poll(&waiting, 1, 0) <= 0) return Status{StatusCode::again, "[listen] no connection waits"};
  int fd = ::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) return Socket(fd);
  if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
    return Status{StatusCode::again, "[listen] no connection waits"};
  return unavailable(std::string("[listen] a connection cannot be accepted: ") + std::strerror(errno));
}

StatusOr<std::pair<Socket, Socket>> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return unavailable(std::string("[socket] no pair can be made: ") + std::strerror(errno));
  return std::pair(Socket(fds[0]), Socket(fds[1]));
}

}  // namespace moai::transport
