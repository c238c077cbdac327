// Bytes through a non-blocking stream socket with a deadline: for the handshake and the route line.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "src/base/clock.h"
#include "src/base/fd.h"

namespace moai::transport {

// Sets O_NONBLOCK: every call here, and every connection, waits by poll alone.
Status make_nonblocking(int fd);
// True while events (POLLIN, POLLOUT) may be served; deadline_exceeded otherwise.
Status wait_for(int fd, short events, Deadline, const char* what);

// A descriptor that polls readable when the bell or the socket does.
StatusOr<Fd> make_event_set(int bell, int socket);

Status send_all(int fd, std::span<const std::byte>, Deadline);
// Bytes and descriptors together: the descriptors arrive with the first byte.
Status send_with_fds(int fd, std::span<const std::byte>, std::span<const int> fds, Deadline);
// Fills `to` exactly. An early end of the stream is `unavailable`.
Status receive_exactly(int fd, std::span<std::byte> to, Deadline);
// As above; descriptors that came along are appended, close-on-exec.
Status receive_with_fds(int fd, std::span<std::byte> to, std::vector<Fd>& fds, Deadline);
// What is there, at most to.size() bytes; `again` when nothing is, `unavailable` at the end of the
// stream.
StatusOr<size_t> receive_some(int fd, std::span<std::byte> to, std::vector<Fd>& fds);
// Copies what is there, at most to.size(), without consuming it; waits for the first byte. 0: end
// of stream.
StatusOr<size_t> peek(int fd, std::span<std::byte> to, Deadline);

}  // namespace moai::transport
