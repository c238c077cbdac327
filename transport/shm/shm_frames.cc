// Frames through the rings: sending, taking, waiting.
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "src/base/clock.h"
#include "transport/shm/shm_impl.h"

namespace moai::transport {
namespace {

// A spin pays when the peer can run meanwhile and answers about as fast as this thread falls asleep
// and wakes. The last wait tells what to expect of this one.
constexpr uint64_t kSpinNs = 50'000, kShortWaitNs = 200'000;
// A caller that only asks for messages hears of the peer's death after so many vain questions.
constexpr uint32_t kLooksBetweenChecks = 64;

bool may_spin() {
  static const bool has_two_processors = [] {
    cpu_set_t own;
    return ::sched_getaffinity(0, sizeof own, &own) == 0 && CPU_COUNT(&own) > 1;
  }();
  return has_two_processors;
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Status ShmConnection::send(uint8_t kind, std::span<const std::byte> body, Deadline deadline) {
  MOAI_RETURN_IF_ERROR(usable());
  if (is_peer_gone_) return unavailable("[transport] the peer is gone");
  if (body.size() > kMessageBytesMax)
    return invalid("[transport] a message of " + std::to_string(body.size()) +
                   " bytes is too long; send it through a window");
  // A message that fits is sent whole or not at all, so a missed deadline leaves the connection
  // usable.
  uint64_t whole = 0;
  uint32_t pieces = 0;
  MOAI_RETURN_IF_ERROR(for_each_piece(body, [&](uint32_t, auto piece) {
    const uint32_t frame = kFrameHeaderBytes + static_cast<uint32_t>(piece.size());
    whole += pieces++ == 0 ? out_.cost(frame) : ring_bytes(frame);
    return ok_status();
  }));
  if (pieces > 1) whole += kFrameBytesMax - kRingUnit;  // a PAD somewhere
  const bool fits = whole <= out_.capacity();
  if (fits) MOAI_RETURN_IF_ERROR(wait_for_space(whole, deadline));

  bool has_begun = false;
  return for_each_piece(body, [&](uint32_t flags, auto piece) -> Status {
    if (!fits) {
      Status s = wait_for_space(out_.cost(kFrameHeaderBytes + static_cast<uint32_t>(piece.size())),
                                deadline);
      // Half a message cannot be taken back.
      if (!s.ok()) return has_begun ? fail(std::move(s)) : s;
    }
    has_begun = true;
    put_frame(kind, flags, piece);
    return {};
  });
}

void ShmConnection::put_frame(uint8_t kind, uint32_t flags, std::span<const std::byte> piece) {
  const uint32_t frame = kFrameHeaderBytes + static_cast<uint32_t>(piece.size());
  if (const uint32_t rest = out_.pad_before(frame)) {
    put_header(out_.at(), writer_.pad(rest));
    out_.advance(rest);
  }
  writer_.put(out_.at(), kind, flags, in_.credit(), piece);
  out_.advance(frame);
  counters_.frames_sent++;
  counters_.bytes_sent += frame;
}

Status ShmConnection::wait_for_space(uint64_t bytes, Deadline deadline) {
  bool has_waited = false;
  for (;;) {
    auto space = out_.space(bytes);
    if (!space.ok()) return fail(space.status());
    if (*space >= bytes) break;
    if (!has_waited) counters_.credit_waits++;
    has_waited = true;
    publish();
    out_.set_sleeping(true);
    space = out_.space(bytes);
    if (space.ok() && *space < bytes && !is_peer_gone_) sleep(deadline);
    out_.set_sleeping(false);
    MOAI_RETURN_IF_ERROR(usable());
    if (is_peer_gone_) return unavailable("[transport] the peer is gone");
    if (!has_passed(deadline)) continue;
    space = out_.space(bytes);
    if (space.ok() && *space < bytes)
      return {StatusCode::deadline_exceeded, "[transport] the peer did not take messages in time"};
  }
  // The bell may have been meant for an event loop that waits for messages.
  if (has_waited && has_event_loop_ && has_data()) signal_eventfd(own_bell_.fd());
  return {};
}

Status ShmConnection::flush(Deadline) {
  MOAI_RETURN_IF_ERROR(usable());
  if (is_peer_gone_) return unavailable("[transport] the peer is gone");
  publish();
  return {};
}

Status ShmConnection::next_message(Message& into) {
  MOAI_RETURN_IF_ERROR(usable());
  for (bool is_armed = false;;) {
    auto available = in_.available();
    if (!available.ok()) return fail(available.status());
    if (*available != 0) {
      auto is_whole = take_frame(*available);
      if (!is_whole.ok()) return fail(is_whole.status());
      release(false);
      if (!*is_whole) continue;
      if (is_armed) in_.set_sleeping(false);
      vain_looks_ = 0;
      assembler_.take(into);
      return {};
    }
    release(true);
    if (is_peer_gone_) return unavailable("[transport] the peer is gone");
    if (is_armed || !(has_event_loop_ || ++vain_looks_ % kLooksBetweenChecks == 0))
      return Status(StatusCode::again, "");
    // Look again after arming: what came in between rang no bell.
    if (has_event_loop_) {
      drain_eventfd(own_bell_.fd());
      in_.set_sleeping(true);
    }
    look_at_socket();
    MOAI_RETURN_IF_ERROR(usable());
    is_armed = true;
  }
}

// Copies one frame out of the ring, then checks it. True when it ended a message.
StatusOr<bool> ShmConnection::take_frame(uint64_t available) {
  std::byte raw[kFrameHeaderBytes];
  std::memcpy(raw, in_.at(), sizeof raw);
  const FrameHeader h = get_header(raw);
  MOAI_RETURN_IF_ERROR(reader_.check(h));
  if (ring_bytes(h.bytes) > available || ring_bytes(h.bytes) > in_.to_end())
    return invalid("[transport] a frame is longer than what was published");
  if (h.flags & kFlagPad) {
    if (h.bytes != in_.to_end())
      return invalid("[transport] padding that does not end at the ring's end");
    in_.advance(h.bytes);
    return false;
  }
  if (h.flags & kFlagControl) return invalid("[transport] a control frame came over shared memory");
  MOAI_ASSIGN_OR_RETURN(auto body, assembler_.body_for(h));
  if (!body.empty()) std::memcpy(body.data(), in_.at() + kFrameHeaderBytes, body.size());
  MOAI_RETURN_IF_ERROR(reader_.accept(h, body));
  in_.advance(h.bytes);
  counters_.frames_received++;
  counters_.bytes_received += h.bytes;
  return assembler_.finish(h);
}

bool ShmConnection::has_data() {
  auto available = in_.available();
  return !available.ok() || *available != 0;  // next_message() tells the error
}

bool ShmConnection::spin_for_data() {
  if (!may_spin() || last_wait_ns_ > kShortWaitNs) return false;
  for (const uint64_t until = now_ns() + kSpinNs; now_ns() < until; pause_cpu())
    if (has_data()) return true;
  return false;
}

Status ShmConnection::wait(Deadline deadline) {
  MOAI_RETURN_IF_ERROR(usable());
  publish();
  release(true);
  if (is_woken_.exchange(false) || has_data()) return {};
  const uint64_t begin = now_ns();
  Status status = spin_for_data() ? ok_status() : wait_asleep(deadline);
  last_wait_ns_ = now_ns() - begin;
  return status;
}

Status ShmConnection::wait_asleep(Deadline deadline) {
  for (;;) {
    if (is_woken_.exchange(false) || has_data()) return {};
    if (is_peer_gone_) return unavailable("[transport] the peer is gone");
    in_.set_sleeping(true);
    if (!has_data()) sleep(deadline);
    in_.set_sleeping(has_event_loop_);
    MOAI_RETURN_IF_ERROR(usable());
    if (is_peer_gone_ || !has_passed(deadline)) continue;
    if (is_woken_.exchange(false) || has_data()) return {};
    return {StatusCode::deadline_exceeded, ""};
  }
}

// Until a bell, a notice, the end of the socket, or the deadline.
void ShmConnection::sleep(Deadline deadline) {
  pollfd p[2] = {{own_bell_.fd(), POLLIN, 0}, {socket_.fd(), POLLIN, 0}};
  if (::poll(p, 2, milliseconds_left(deadline)) <= 0)
    return;  // EINTR: the caller looks and comes back
  if (p[0].revents) drain_eventfd(own_bell_.fd());
  if (p[1].revents) look_at_socket();
}

void ShmConnection::wake() {
  if (guard_.is_in_child()) return;
  is_woken_.store(true);
  signal_eventfd(own_bell_.fd());
}

// Takes every notice that has arrived, and sees the end.
void ShmConnection::look_at_socket() {
  for (;;) {
    auto r = notice_reader_.next(socket_.fd());
    if (r.ok()) {
      notices_seen_++;
      if (Status s = peer_windows_.apply(std::move(*r)); !s.ok()) mark_failed(std::move(s));
      continue;
    }
    if (r.status().code() == StatusCode::unavailable)
      is_peer_gone_ = true;
    else if (r.status().code() != StatusCode::again)
      mark_failed(r.status());
    return;
  }
}

}  // namespace moai::transport
