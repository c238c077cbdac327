#include "transport/tcp/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "transport/socket_io.h"

namespace moai::transport {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// Names are resolved by the system, which keeps its own time; numbers and localhost need none.
StatusOr<AddressList> resolve(const TcpEndpoint& e, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC, hints.ai_socktype = SOCK_STREAM,
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(e.host.c_str(), std::to_string(e.port).c_str(), &hints, &list);
  if (error != 0)
    return unavailable("[transport] the host \"" + e.host +
                       "\" is unknown: " + ::gai_strerror(error));
  return AddressList(list, &::freeaddrinfo);
}

bool is_loopback(const sockaddr* a) {
  if (a->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(a);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (a->sa_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr);
  return false;
}

void set_option(int fd, int level, int name, int value) {
  // An option that the kernel lacks costs speed, not correctness.
  ::setsockopt(fd, level, name, &value, sizeof value);
}

StatusOr<TcpEndpoint> endpoint_of(const sockaddr_storage& s, socklen_t n, int error) {
  char host[NI_MAXHOST];
  if (error != 0 || (s.ss_family != AF_INET && s.ss_family != AF_INET6) ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&s), n, host, sizeof host, nullptr, 0,
                    NI_NUMERICHOST) != 0)
    return Status(StatusCode::not_found, "[transport] the socket has no tcp address");
  const uint16_t port = s.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(s).sin_port
                                               : reinterpret_cast<const sockaddr_in6&>(s).sin6_port;
  return TcpEndpoint{host, ntohs(port)};
}

Status finish_connect(int fd, const sockaddr* address, socklen_t bytes, Deadline deadline) {
  int error = ::connect(fd, address, bytes) == 0 ? 0 : errno;
  if (error == EINPROGRESS || error == EINTR) {
    MOAI_RETURN_IF_ERROR(wait_for(fd, POLLOUT, deadline, "connecting"));
    socklen_t n = sizeof error;
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0) error = errno;
  }
  return error == 0 ? ok_status() : unavailable(errno_text(error));
}

}  // namespace

std::string to_string(const TcpEndpoint& e) {
  const bool is_v6 = e.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + e.host + "]" : e.host) + ":" + std::to_string(e.port);
}

StatusOr<Fd> listen_tcp(const TcpEndpoint& e, bool may_be_remote) {
  MOAI_ASSIGN_OR_RETURN(AddressList list, resolve(e, AI_PASSIVE));
  Status last = unavailable("no address");
  for (const addrinfo* a = list.get(); a; a = a->ai_next) {
    if (!may_be_remote && !is_loopback(a->ai_addr))
      return Status(
          StatusCode::permission_denied,
          "[transport] " + to_string(e) +
              " is reachable from other hosts, and tcp is neither encrypted nor authenticated "
              "yet: listen on 127.0.0.1, or accept the risk with --insecure-listen");
    Fd fd(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.is_open()) {
      last = unavailable(errno_text(errno));
      continue;
    }
    set_option(fd.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (a->ai_family == AF_INET6) set_option(fd.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (::bind(fd.fd(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(fd.fd(), SOMAXCONN) == 0)
      return fd;
    last = unavailable(errno_text(errno));
  }
  return unavailable("[transport] cannot listen at tcp://" + to_string(e) + ": " + last.message());
}

StatusOr<Fd> connect_tcp(const TcpEndpoint& e, Deadline deadline) {
  MOAI_ASSIGN_OR_RETURN(AddressList list, resolve(e, 0));
  Status last = unavailable("no address");
  for (const addrinfo* a = list.get(); a; a = a->ai_next) {
    Fd fd(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    last = fd.is_open() ? finish_connect(fd.fd(), a->ai_addr, a->ai_addrlen, deadline)
                        : unavailable(errno_text(errno));
    if (last.ok()) {
      tune_tcp(fd.fd());
      return fd;
    }
    if (last.code() == StatusCode::deadline_exceeded) return last;
  }
  return unavailable("[transport] no server answers at tcp://" + to_string(e) + ": " +
                     last.message() + "; start `moai serve` there or correct the address");
}

StatusOr<Fd> accept_stream(int listener, Deadline deadline) {
  MOAI_RETURN_IF_ERROR(make_nonblocking(listener));  // it may come from another process
  for (;;) {
    Fd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.is_open()) {
      tune_tcp(fd.fd());
      return fd;
    }
    const int error = errno;
    if (error == EMFILE || error == ENFILE)
      return Status(StatusCode::resource_exhausted, "[transport] no descriptor for a connection: " +
                                                        errno_text(error) + "; raise `ulimit -n`");
    if (error == EAGAIN || error == EWOULDBLOCK) {
      MOAI_RETURN_IF_ERROR(wait_for(listener, POLLIN, deadline, "accepting"));
    } else if (error != EINTR && error != ECONNABORTED) {
      return unavailable("[transport] cannot accept connections: " + errno_text(error));
    }
  }
}

StatusOr<TcpEndpoint> local_endpoint(int fd) {
  sockaddr_storage s{};
  socklen_t n = sizeof s;
  const int error = ::getsockname(fd, reinterpret_cast<sockaddr*>(&s), &n);
  return endpoint_of(s, n, error);
}

StatusOr<TcpEndpoint> peer_endpoint(int fd) {
  sockaddr_storage s{};
  socklen_t n = sizeof s;
  const int error = ::getpeername(fd, reinterpret_cast<sockaddr*>(&s), &n);
  return endpoint_of(s, n, error);
}

void tune_tcp(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
}

}  // namespace moai::transport
