#include "transport/socket_io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace moai::transport {
namespace {

constexpr int kFdsMax = 8;  // in one packet; more are a breach and are cut off by the kernel

Status lost(const char* doing, int error) {
  return unavailable(std::string("[transport] connection lost while ") + doing + ": " +
                     errno_text(error));
}

bool is_retry(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

void collect_fds(msghdr& m, std::vector<Fd>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

Status make_nonblocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return internal_error("[transport] not a usable socket: " + errno_text(errno));
  return {};
}

Status wait_for(int fd, short events, Deadline d, const char* what) {
  for (;;) {
    pollfd p{fd, events, 0};
    int n = ::poll(&p, 1, milliseconds_left(d));
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return lost(what, errno);
    if (has_passed(d))
      return {StatusCode::deadline_exceeded,
              std::string("[transport] the peer was too slow while ") + what};
  }
}

StatusOr<Fd> make_event_set(int bell, int socket) {
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  for (int fd : {bell, socket}) {
    epoll_event e{};
    e.events = EPOLLIN, e.data.fd = fd;
    if (!set.is_open() || ::epoll_ctl(set.fd(), EPOLL_CTL_ADD, fd, &e) != 0)
      return Status(StatusCode::resource_exhausted,
                    "[transport] no event set: " + errno_text(errno));
  }
  return set;
}

Status send_all(int fd, std::span<const std::byte> bytes, Deadline d) {
  return send_with_fds(fd, bytes, {}, d);
}

Status send_with_fds(int fd, std::span<const std::byte> bytes, std::span<const int> fds,
                     Deadline d) {
  if (fds.size() > kFdsMax) return internal_error("[transport] too many descriptors in one packet");
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))] = {};
  while (!bytes.empty()) {
    iovec v{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr m{};
    m.msg_iov = &v, m.msg_iovlen = 1;
    if (!fds.empty()) {
      m.msg_control = control, m.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS,
      c->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
    }
    ssize_t n = ::sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      fds = {};
      continue;
    }
    if (n < 0 && !is_retry(errno)) return lost("sending", errno);
    MOAI_RETURN_IF_ERROR(wait_for(fd, POLLOUT, d, "sending"));
  }
  return {};
}

Status receive_exactly(int fd, std::span<std::byte> to, Deadline d) {
  std::vector<Fd> unwanted;  // closed when this returns
  return receive_with_fds(fd, to, unwanted, d);
}

StatusOr<size_t> receive_some(int fd, std::span<std::byte> to, std::vector<Fd>& fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))];
  iovec v{to.data(), to.size()};
  msghdr m{};
  m.msg_iov = &v, m.msg_iovlen = 1;
  m.msg_control = control, m.msg_controllen = sizeof control;
  ssize_t n = ::recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n > 0) {
    collect_fds(m, fds);
    return static_cast<size_t>(n);
  }
  if (n == 0) return unavailable("[transport] the peer closed the connection");
  if (!is_retry(errno)) return lost("receiving", errno);
  return Status(StatusCode::again, "");
}

Status receive_with_fds(int fd, std::span<std::byte> to, std::vector<Fd>& fds, Deadline d) {
  while (!to.empty()) {
    auto n = receive_some(fd, to, fds);
    if (n.ok()) {
      to = to.subspan(*n);
      continue;
    }
    if (n.status().code() != StatusCode::again) return n.status();
    MOAI_RETURN_IF_ERROR(wait_for(fd, POLLIN, d, "receiving"));
  }
  return {};
}

StatusOr<size_t> peek(int fd, std::span<std::byte> to, Deadline d) {
  for (;;) {
    ssize_t n = ::recv(fd, to.data(), to.size(), MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0) return static_cast<size_t>(n);
    if (!is_retry(errno)) return lost("receiving", errno);
    MOAI_RETURN_IF_ERROR(wait_for(fd, POLLIN, d, "receiving"));
  }
}

}  // namespace moai::transport
