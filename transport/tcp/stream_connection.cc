// Windows and the life of a stream connection.
#include "transport/tcp/stream_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <new>
#include <string>

#include "src/base/clock.h"
#include "transport/socket_io.h"
#include "transport/tcp/stream_impl.h"

namespace moai::transport {
namespace {

constexpr double kCloseSeconds = 1;
constexpr double kGrantSeconds = 1;

}  // namespace

Status StreamConnection::usable() const {
  if (guard_.is_in_child())
    return unavailable(
        "[transport] the connection belongs to the parent process; a forked child cannot use it");
  if (is_closed_) return unavailable("[transport] the connection is closed");
  return failure_;
}

Status StreamConnection::alive() const {
  MOAI_RETURN_IF_ERROR(usable());
  if (is_peer_gone_) return unavailable("[transport] the peer is gone");
  return {};
}

// The first failure stays. The peer learns by the end of the stream.
void StreamConnection::mark_failed(Status s) {
  if (!failure_.ok()) return;
  failure_ = std::move(s);
  ::shutdown(socket_.fd(), SHUT_RDWR);
}

Status StreamConnection::fail(Status s) {
  mark_failed(std::move(s));
  return failure_;
}

StatusOr<Region> StreamConnection::make_region(uint64_t bytes) {
  MOAI_RETURN_IF_ERROR(usable());
  return regions_.make(bytes);
}

void StreamConnection::free_region(Region r) {
  const RegionTable::Entry* e = regions_.find(r);
  if (!e) return;
  // The peer forgets the window first; its later writes would be dropped anyway.
  if (e->is_granted && alive().ok()) {
    if (Status s = revoke({make_handle(e->generation, r.slot), e->bytes}); s.ok()) push_out();
  }
  regions_.free(r);
}

StatusOr<Window> StreamConnection::grant(const Region& r) {
  MOAI_RETURN_IF_ERROR(alive());
  const RegionTable::Entry* e = regions_.find(r);
  if (!e || !e->is_granted)
    MOAI_RETURN_IF_ERROR(make_room(kFrameBytesMax, in_seconds(kGrantSeconds)));
  const bool is_new = e && !e->is_granted;
  MOAI_ASSIGN_OR_RETURN(Window w, regions_.grant(r));
  if (is_new) put_control_frame({ControlKind::grant, 0, w.handle, w.bytes, 0}, {});
  return w;
}

Status StreamConnection::revoke(const Window& w) {
  MOAI_RETURN_IF_ERROR(alive());
  MOAI_RETURN_IF_ERROR(regions_.revoke(w));
  MOAI_RETURN_IF_ERROR(make_room(kFrameBytesMax, in_seconds(kGrantSeconds)));
  put_control_frame({ControlKind::revoke, 0, w.handle, 0, 0}, {});
  push_out();
  return {};
}

Status StreamConnection::write(const Window& w, uint64_t to, std::span<const std::byte> from,
                               Deadline deadline) {
  MOAI_RETURN_IF_ERROR(alive());
  take_in();  // a revocation that has arrived counts
  MOAI_RETURN_IF_ERROR(alive());
  MOAI_RETURN_IF_ERROR(grants_.check(w, to, from.size()));
  while (!from.empty()) {
    const auto piece = from.first(std::min<size_t>(from.size(), kControlDataMax));
    MOAI_RETURN_IF_ERROR(make_room(kFrameBytesMax, deadline));
    put_control_frame({ControlKind::write, 0, w.handle, to, 0}, piece);
    counters_.window_bytes_out += piece.size();
    to += piece.size();
    from = from.subspan(piece.size());
  }
  push_out();
  return {};
}

Status StreamConnection::read(const Window& w, uint64_t from, std::span<std::byte> to,
                              Deadline deadline) {
  MOAI_RETURN_IF_ERROR(alive());
  take_in();
  MOAI_RETURN_IF_ERROR(alive());
  MOAI_RETURN_IF_ERROR(grants_.check(w, from, to.size()));
  if (to.empty()) return {};
  MOAI_RETURN_IF_ERROR(make_room(kFrameBytesMax, deadline));
  own_read_ = {next_tag_++, to, {}};
  put_control_frame({ControlKind::read, own_read_.tag, w.handle, from, to.size()}, {});
  push_out();
  Status s;
  while (!own_read_.to.empty() && s.ok()) {
    const bool is_late = has_passed(deadline);
    exchange(deadline, true);
    if (own_read_.to.empty()) break;
    s = own_read_.refused.ok() ? alive() : own_read_.refused;
    if (s.ok() && is_late)
      s = {StatusCode::deadline_exceeded, "[transport] the peer did not answer a read in time"};
  }
  own_read_ = {};  // tag 0: answers that come later are dropped
  return s;
}

int StreamConnection::event_fd() const {
  if (!has_event_loop_) {
    has_event_loop_ = true;
    if (!ready_.empty() || in_begin_ != in_end_) signal_eventfd(bell_.fd());
  }
  return events_.fd();
}

// Own regions stay until they are freed or the connection dies: their owner may still use the
// memory.
void StreamConnection::close() {
  if (is_closed_) return;
  if (out_begin_ != out_end_ && alive().ok() && !flush(in_seconds(kCloseSeconds)).ok())
    is_peer_gone_ = true;
  is_closed_ = true;
  ready_.clear();
  ready_bytes_ = 0;
  if (guard_.is_in_child()) {
    socket_.release();
    return;
  }
  ::shutdown(socket_.fd(), SHUT_WR);
  // Unread bytes at close() would reset the connection and could cost the peer what was just sent.
  for (int i = 0; i < 64 && ::recv(socket_.fd(), in_.get(), kBufferBytes, MSG_DONTWAIT) > 0; i++) {
  }
  guard_.release();
  socket_.reset();
}

StatusOr<std::unique_ptr<Connection>> make_stream_connection(Fd socket, StreamOptions o) try {
  MOAI_RETURN_IF_ERROR(make_nonblocking(socket.fd()));
  MOAI_ASSIGN_OR_RETURN(Fd bell, make_eventfd());
  MOAI_ASSIGN_OR_RETURN(Fd events, make_event_set(bell.fd(), socket.fd()));
  return std::unique_ptr<Connection>(
      new StreamConnection(std::move(socket), std::move(bell), std::move(events), std::move(o)));
} catch (const std::bad_alloc&) {
  return Status(StatusCode::resource_exhausted, "[transport] no memory for a connection");
}

}  // namespace moai::transport
