#include "transport/shm/unix_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "transport/socket_io.h"

namespace moai::transport {
namespace {

struct Native {
  sockaddr_un address{};
  socklen_t bytes = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

std::string named(const UnixAddress& a) {
  return "unix:" + std::string(a.is_abstract ? "@" : "") + a.text;
}

StatusOr<Native> native(const UnixAddress& a) {
  Native n;
  n.address.sun_family = AF_UNIX;
  // An abstract name begins with a zero byte and has no end mark; a path has one.
  if (a.text.empty() || a.text.size() + 1 > sizeof n.address.sun_path)
    return invalid("[transport] " + named(a) + " must have 1 to " +
                   std::to_string(sizeof n.address.sun_path - 1) + " bytes after unix:");
  std::memcpy(n.address.sun_path + (a.is_abstract ? 1 : 0), a.text.data(), a.text.size());
  n.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + a.text.size());
  return n;
}

StatusOr<Fd> new_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open())
    return Status(StatusCode::resource_exhausted, "[transport] no socket: " + errno_text(errno));
  return fd;
}

bool is_socket(const UnixAddress& a) {
  struct stat s {};
  return ::lstat(a.text.c_str(), &s) == 0 && S_ISSOCK(s.st_mode);
}

// A socket whose server is gone.
bool is_stale(const Native& n) {
  auto probe = new_socket();
  return probe.ok() && ::connect(probe->fd(), n.get(), n.bytes) != 0 && errno == ECONNREFUSED;
}

}  // namespace

StatusOr<Fd> listen_unix(const UnixAddress& a) {
  MOAI_ASSIGN_OR_RETURN(const Native n, native(a));
  MOAI_ASSIGN_OR_RETURN(Fd fd, new_socket());
  int error = ::bind(fd.fd(), n.get(), n.bytes) == 0 ? 0 : errno;
  if (error == EADDRINUSE && !a.is_abstract && !is_socket(a))
    return Status(StatusCode::invalid_argument,
                  "[transport] cannot listen at " + named(a) +
                      ": something that is no socket lies there; choose another path");
  if (error == EADDRINUSE && !a.is_abstract && is_stale(n) && ::unlink(a.text.c_str()) == 0)
    error = ::bind(fd.fd(), n.get(), n.bytes) == 0 ? 0 : errno;
  if (error == EADDRINUSE)
    return unavailable("[transport] a server listens at " + named(a) +
                       " already; choose another address");
  if (error == 0 && !a.is_abstract && ::chmod(a.text.c_str(), S_IRUSR | S_IWUSR) != 0)
    error = errno;
  if (error == 0 && ::listen(fd.fd(), SOMAXCONN) != 0) error = errno;
  if (error != 0)
    return unavailable("[transport] cannot listen at " + named(a) + ": " + errno_text(error));
  return fd;
}

StatusOr<Fd> connect_unix(const UnixAddress& a, Deadline deadline) {
  MOAI_ASSIGN_OR_RETURN(const Native n, native(a));
  MOAI_ASSIGN_OR_RETURN(Fd fd, new_socket());
  while (::connect(fd.fd(), n.get(), n.bytes) != 0) {
    const int error = errno;
    // EAGAIN: the queue of the listener is full. No descriptor tells when that ends.
    if (error == EAGAIN && !has_passed(deadline))
      ::poll(nullptr, 0, 1);
    else if (error == EAGAIN)
      return Status(StatusCode::deadline_exceeded,
                    "[transport] the server at " + named(a) + " is too busy");
    else if (error != EINTR)
      return unavailable("[transport] no server answers at " + named(a) + ": " + errno_text(error) +
                         "; start `moai serve` there or correct the address");
  }
  return fd;
}

StatusOr<uint32_t> unix_peer_uid(int fd) {
  ucred c{};
  socklen_t n = sizeof c;
  if (!is_unix_socket(fd) || ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0)
    return Status(StatusCode::not_found,
                  "[transport] the peer's uid is known on unix sockets only");
  return static_cast<uint32_t>(c.uid);
}

bool is_unix_socket(int fd) {
  int domain = 0;
  socklen_t n = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

}  // namespace moai::transport
