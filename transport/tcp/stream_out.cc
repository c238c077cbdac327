// Frames on their way out: the buffer, messages, answers to the peer's reads.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "src/base/clock.h"
#include "transport/tcp/stream_impl.h"

namespace moai::transport {

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

}  // namespace moai::transport
