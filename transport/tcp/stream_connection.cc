#include "transport/tcp/stream_connection.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <new>
#include <string>

#include "src/base/clock.h"
#include "transport/regions.h"
#include "transport/socket_io.h"
#include "transport/stream.h"
#include "transport/tcp/control.h"

namespace moai::transport {
namespace {

constexpr size_t kBufferBytes = 256u << 10;  // each way: 16 frames a system call
// While this side waits for room it keeps taking messages, or two senders would wait for each other
// for ever; beyond so many bytes it lets the peer wait.
constexpr size_t kReadyBytesMax = kMessageBytesMax;
constexpr size_t kReadsMax = 64;  // of the peer, not yet answered
constexpr double kCloseSeconds = 1;
constexpr double kGrantSeconds = 1;

class StreamConnection final : public Connection {
 public:
  StreamConnection(Fd socket, Fd bell, Fd events, StreamOptions o)
      : socket_(std::move(socket)),
        bell_(std::move(bell)),
        events_(std::move(events)),
        out_(new std::byte[kBufferBytes]),
        in_(new std::byte[kBufferBytes]),
        writer_(o.generation, true),
        reader_(o.generation, true),
        path_(std::move(o.path)) {}
  ~StreamConnection() override { close(); }

  Status send(uint8_t kind, std::span<const std::byte> body, Deadline) override;
  Status flush(Deadline) override;
  StatusOr<Message> next_message() override;
  Status wait(Deadline) override;
  void wake() override;
  StatusOr<Region> make_region(uint64_t bytes) override;
  void free_region(Region) override;
  StatusOr<Window> grant(const Region&) override;
  Status revoke(const Window&) override;
  Status write(const Window&, uint64_t to, std::span<const std::byte> from, Deadline) override;
  Status read(const Window&, uint64_t from, std::span<std::byte> to, Deadline) override;
  int event_fd() const override;
  const PathInfo& path() const override { return path_; }
  TransportCounters counters() const override { return counters_; }
  void close() override;

 private:
  struct PeerRead {
    uint64_t tag, handle, offset, bytes;
  };
  struct OwnRead {
    uint64_t tag = 0;
    std::span<std::byte> to;  // what is still missing
    Status refused;
  };

  Status usable() const;
  Status alive() const;
  void mark_failed(Status);
  Status fail(Status);

  // Out: frames wait in out_[out_begin_, out_end_).
  size_t room() const { return kBufferBytes - (out_end_ - out_begin_); }
  void compact_out();
  Status make_room(size_t bytes, Deadline);
  void put_message_frame(uint8_t kind, uint32_t flags, std::span<const std::byte> piece);
  void put_control_frame(const Control&, std::span<const std::byte> data);
  void push_out();
  void answer_reads();
  void watch_for_room();

  // In: bytes wait in in_[in_begin_, in_end_).
  void take_in();
  Status parse();
  Status on_control(const FrameHeader&, std::span<const std::byte> body);
  Status on_write(const Control&, std::span<const std::byte> data);
  Status on_read_data(const Control&, std::span<const std::byte> data);
  void exchange(Deadline, bool wants_room);

  Fd socket_, bell_, events_;
  std::unique_ptr<std::byte[]> out_, in_;
  size_t out_begin_ = 0, out_end_ = 0, in_begin_ = 0, in_end_ = 0;
  FrameWriter writer_;
  FrameReader reader_;
  MessageAssembler assembler_;
  std::deque<Message> ready_;
  size_t ready_bytes_ = 0;
  RegionTable regions_{RegionTable::Kind::private_memory};
  GrantList grants_;
  std::deque<PeerRead> peer_reads_;
  OwnRead own_read_;
  uint64_t next_tag_ = 1;
  const PathInfo path_;
  TransportCounters counters_;
  Status failure_;
  bool is_closed_ = false, is_peer_gone_ = false, is_watching_room_ = false;
  std::atomic<bool> is_woken_{false};
  mutable bool has_event_loop_ = false;
};

Status StreamConnection::usable() const {
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

// --- out

void StreamConnection::compact_out() {
  std::memmove(out_.get(), out_.get() + out_begin_, out_end_ - out_begin_);
  out_end_ -= out_begin_;
  out_begin_ = 0;
}

void StreamConnection::push_out() {
  while (out_begin_ != out_end_ && !is_peer_gone_) {
    ssize_t n = ::send(socket_.fd(), out_.get() + out_begin_, out_end_ - out_begin_,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      out_begin_ += static_cast<size_t>(n);
      counters_.doorbells++;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      is_peer_gone_ = true;
      take_in();  // what it sent before it went
    } else {
      break;
    }
  }
  if (out_begin_ == out_end_) out_begin_ = out_end_ = 0;
  watch_for_room();
}

// An event loop must come back when the socket takes more.
void StreamConnection::watch_for_room() {
  const bool wants = out_begin_ != out_end_ && !is_peer_gone_;
  if (!has_event_loop_ || wants == is_watching_room_) return;
  epoll_event e{};
  e.events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (::epoll_ctl(events_.fd(), EPOLL_CTL_MOD, socket_.fd(), &e) == 0) is_watching_room_ = wants;
}

// Room for so many contiguous bytes in the out buffer.
Status StreamConnection::make_room(size_t bytes, Deadline deadline) {
  MOAI_RETURN_IF_ERROR(alive());
  for (bool has_waited = false; room() < bytes;) {
    push_out();
    if (room() >= bytes) break;
    if (!has_waited) counters_.credit_waits++;
    has_waited = true;
    exchange(deadline, true);
    MOAI_RETURN_IF_ERROR(alive());
    if (room() < bytes && has_passed(deadline))
      return {StatusCode::deadline_exceeded, "[transport] the peer did not take messages in time"};
  }
  if (kBufferBytes - out_end_ < bytes) compact_out();
  return {};
}

void StreamConnection::put_message_frame(uint8_t kind, uint32_t flags,
                                         std::span<const std::byte> piece) {
  writer_.put(out_.get() + out_end_, kind, flags, 0, piece);
  out_end_ += kFrameHeaderBytes + piece.size();
  counters_.frames_sent++;
  counters_.bytes_sent += kFrameHeaderBytes + piece.size();
}

void StreamConnection::put_control_frame(const Control& c, std::span<const std::byte> data) {
  std::byte* frame = out_.get() + out_end_;
  std::byte* body = frame + kFrameHeaderBytes;
  put_control(body, c);
  if (!data.empty()) std::memcpy(body + kControlBytes, data.data(), data.size());
  const size_t bytes = kControlBytes + data.size();
  put_header(frame, writer_.next(static_cast<uint8_t>(c.kind), kFlagControl, 0, {body, bytes}));
  out_end_ += kFrameHeaderBytes + bytes;
  counters_.frames_sent++;
  counters_.bytes_sent += kFrameHeaderBytes + bytes;
}

Status StreamConnection::send(uint8_t kind, std::span<const std::byte> body, Deadline deadline) {
  MOAI_RETURN_IF_ERROR(alive());
  if (body.size() > kMessageBytesMax)
    return invalid("[transport] a message of " + std::to_string(body.size()) +
                   " bytes is too long; send it through a window");
  // A message that fits is queued whole or not at all, so a missed deadline leaves the connection
  // usable.
  const size_t pieces = std::max<size_t>(1, (body.size() + kFrameBodyMax - 1) / kFrameBodyMax);
  const size_t whole = body.size() + pieces * kFrameHeaderBytes;
  const bool fits = whole <= kBufferBytes;
  if (fits) MOAI_RETURN_IF_ERROR(make_room(whole, deadline));
  bool has_begun = false;
  return for_each_piece(body, [&](uint32_t flags, auto piece) -> Status {
    if (!fits) {
      Status s = make_room(kFrameHeaderBytes + piece.size(), deadline);
      // Half a message cannot be taken back.
      if (!s.ok()) return has_begun ? fail(std::move(s)) : s;
    }
    has_begun = true;
    put_message_frame(kind, flags, piece);
    return {};
  });
}

Status StreamConnection::flush(Deadline deadline) {
  MOAI_RETURN_IF_ERROR(alive());
  push_out();
  if (out_begin_ != out_end_) counters_.credit_waits++;
  while (out_begin_ != out_end_) {
    MOAI_RETURN_IF_ERROR(alive());
    exchange(deadline, true);
    if (out_begin_ != out_end_ && has_passed(deadline))
      return {StatusCode::deadline_exceeded, "[transport] the peer did not take messages in time"};
  }
  return alive();
}

// --- in

// One wait for the socket or the bell, then everything that can be done without waiting.
void StreamConnection::exchange(Deadline deadline, bool wants_room) {
  const bool takes = ready_bytes_ < kReadyBytesMax;
  const bool has_out = out_begin_ != out_end_;
  pollfd p[2] = {
      {socket_.fd(), static_cast<short>((takes ? POLLIN : 0) | (has_out ? POLLOUT : 0)), 0},
      {bell_.fd(), POLLIN, 0}};
  // A caller that waits for room has no use for the bell; it stays rung for wait().
  const int n = ::poll(p, wants_room ? 1 : 2, milliseconds_left(deadline));
  if (n <= 0) return;
  if (!wants_room && p[1].revents) drain_eventfd(bell_.fd());
  if (p[0].revents & (POLLIN | POLLHUP | POLLERR)) {
    const size_t before = ready_.size();
    if (takes) take_in();
    if (wants_room && has_event_loop_ && ready_.size() != before) signal_eventfd(bell_.fd());
    if (!takes && (p[0].revents & (POLLHUP | POLLERR))) is_peer_gone_ = true;
  }
  answer_reads();
  push_out();
}

void StreamConnection::take_in() try {
  while (ready_bytes_ < kReadyBytesMax && failure_.ok()) {
    if (in_begin_ != 0) {
      std::memmove(in_.get(), in_.get() + in_begin_, in_end_ - in_begin_);
      in_end_ -= in_begin_;
      in_begin_ = 0;
    }
    const size_t wanted = kBufferBytes - in_end_;
    ssize_t n = ::recv(socket_.fd(), in_.get() + in_end_, wanted, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      is_peer_gone_ = true;
      return;
    }
    in_end_ += static_cast<size_t>(n);
    if (Status s = parse(); !s.ok()) {
      mark_failed(std::move(s));
      return;
    }
    if (static_cast<size_t>(n) < wanted) return;
  }
} catch (const std::bad_alloc&) {
  mark_failed({StatusCode::resource_exhausted, "[transport] no memory for an incoming message"});
}

// Handles every whole frame in the buffer, which is private memory.
Status StreamConnection::parse() {
  while (in_end_ - in_begin_ >= kFrameHeaderBytes) {
    const std::byte* at = in_.get() + in_begin_;
    const FrameHeader h = get_header(at);
    MOAI_RETURN_IF_ERROR(reader_.check(h));
    if (in_end_ - in_begin_ < h.bytes) return {};
    const std::span<const std::byte> body(at + kFrameHeaderBytes, h.body_bytes());
    MOAI_RETURN_IF_ERROR(reader_.accept(h, body));
    in_begin_ += h.bytes;
    counters_.frames_received++;
    counters_.bytes_received += h.bytes;
    if (h.flags & kFlagPad) return invalid("[transport] padding came over a stream");
    if (h.flags & kFlagControl) {
      MOAI_RETURN_IF_ERROR(on_control(h, body));
      continue;
    }
    MOAI_ASSIGN_OR_RETURN(auto to, assembler_.body_for(h));
    if (!body.empty()) std::memcpy(to.data(), body.data(), body.size());
    if (!assembler_.finish(h)) continue;
    ready_.push_back(assembler_.take());
    ready_bytes_ += ready_.back().body.size();
  }
  return {};
}

Status StreamConnection::on_control(const FrameHeader& h, std::span<const std::byte> body) {
  const auto c = get_control(h.kind, body);
  if (!c || (h.flags & kFlagMore)) return invalid("[transport] a malformed control frame came");
  const auto data = body.subspan(kControlBytes);
  switch (c->kind) {
    case ControlKind::grant: return grants_.grant({c->a, c->b});
    case ControlKind::revoke: grants_.revoke(c->a); return {};
    case ControlKind::write: return on_write(*c, data);
    case ControlKind::read:
      if (peer_reads_.size() == kReadsMax)
        return invalid("[transport] the peer asked for too much at once");
      peer_reads_.push_back({c->tag, c->a, c->b, c->c});
      return {};
    case ControlKind::read_data: return on_read_data(*c, data);
    case ControlKind::read_refused:
      // Sized reads of a granted window are refused only when it was revoked meanwhile.
      if (c->tag == own_read_.tag) own_read_.refused = stale_window();
      return {};
  }
  return {};
}

// A write that crossed a revocation on its way is dropped; any other wrong one is a breach, for the
// peer knows the sizes.
Status StreamConnection::on_write(const Control& c, std::span<const std::byte> data) {
  auto to = regions_.access(c.a, c.b, data.size());
  if (to.ok()) {
    if (!data.empty()) std::memcpy(to->data(), data.data(), data.size());
    return {};
  }
  return to.status().code() == StatusCode::not_found ? ok_status() : to.status();
}

Status StreamConnection::on_read_data(const Control& c, std::span<const std::byte> data) {
  if (c.tag != own_read_.tag) return {};  // of a read that was given up
  if (data.empty() || data.size() > own_read_.to.size())
    return invalid("[transport] the answer to a read has another size");
  std::memcpy(own_read_.to.data(), data.data(), data.size());
  own_read_.to = own_read_.to.subspan(data.size());
  counters_.window_bytes_in += data.size();
  return {};
}

// As far as the out buffer has room; the rest follows when there is more.
void StreamConnection::answer_reads() {
  while (!peer_reads_.empty() && usable().ok()) {
    PeerRead& r = peer_reads_.front();
    const uint64_t n = std::min<uint64_t>(r.bytes, kControlDataMax);
    if (room() < kFrameBytesMax) push_out();
    if (room() < kFrameBytesMax) return;
    if (kBufferBytes - out_end_ < kFrameBytesMax) compact_out();
    auto from = regions_.access(r.handle, r.offset, r.bytes);
    if (!from.ok()) {
      put_control_frame({ControlKind::read_refused, r.tag, 0, 0, 0}, {});
      r.bytes = 0;
    } else {
      put_control_frame({ControlKind::read_data, r.tag, 0, 0, 0}, from->first(n));
      r.offset += n, r.bytes -= n;
    }
    if (r.bytes == 0) peer_reads_.pop_front();
  }
}

StatusOr<Message> StreamConnection::next_message() {
  if (is_closed_) return usable();
  if (ready_.empty() && failure_.ok()) {
    if (has_event_loop_) drain_eventfd(bell_.fd());
    take_in();
    answer_reads();
    push_out();  // an answer does not wait for this side's next flush
  }
  if (ready_.empty()) {
    MOAI_RETURN_IF_ERROR(alive());
    return Status(StatusCode::again, "");
  }
  Message m = std::move(ready_.front());
  ready_.pop_front();
  ready_bytes_ -= m.body.size();
  return m;
}

Status StreamConnection::wait(Deadline deadline) {
  if (is_closed_) return usable();
  push_out();
  for (;;) {
    if (is_woken_.exchange(false) || !ready_.empty()) return {};
    MOAI_RETURN_IF_ERROR(alive());
    const bool is_late = has_passed(deadline);
    exchange(deadline, false);
    if (!is_late || is_woken_.load() || !ready_.empty()) continue;
    MOAI_RETURN_IF_ERROR(alive());
    return {StatusCode::deadline_exceeded, "[transport] no message came in time"};
  }
}

void StreamConnection::wake() {
  is_woken_.store(true);
  signal_eventfd(bell_.fd());
}

// --- windows

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

// --- life

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
  ::shutdown(socket_.fd(), SHUT_WR);
  // Unread bytes at close() would reset the connection and could cost the peer what was just sent.
  for (int i = 0; i < 64 && ::recv(socket_.fd(), in_.get(), kBufferBytes, MSG_DONTWAIT) > 0; i++) {
  }
  socket_.reset();
  ready_.clear();
  ready_bytes_ = 0;
}

}  // namespace

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
