// Frames that arrive: reading, checking, control frames, waiting.
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "src/base/clock.h"
#include "transport/tcp/stream_impl.h"

namespace moai::transport {

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
    Message& message = ready_.push();
    assembler_.take(message);
    ready_bytes_ += message.body.size();
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

Status StreamConnection::next_message(Message& into) {
  if (is_closed_ || guard_.is_in_child()) return usable();
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
  std::swap(into, ready_.front());
  ready_.pop();
  ready_bytes_ -= into.body.size();
  return {};
}

Status StreamConnection::wait(Deadline deadline) {
  if (is_closed_ || guard_.is_in_child()) return usable();
  push_out();
  for (;;) {
    if (is_woken_.exchange(false) || !ready_.empty()) return {};
    MOAI_RETURN_IF_ERROR(alive());
    const bool is_late = has_passed(deadline);
    exchange(deadline, false);
    if (!is_late || is_woken_.load() || !ready_.empty()) continue;
    MOAI_RETURN_IF_ERROR(alive());
    return {StatusCode::deadline_exceeded, ""};
  }
}

void StreamConnection::wake() {
  if (guard_.is_in_child()) return;
  is_woken_.store(true);
  signal_eventfd(bell_.fd());
}

}  // namespace moai::transport
