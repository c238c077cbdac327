#include "transport/shm/shm_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <new>
#include <string>

#include "src/base/clock.h"
#include "src/base/mapping.h"
#include "transport/regions.h"
#include "transport/shm/notices.h"
#include "transport/shm/ring.h"
#include "transport/socket_io.h"
#include "transport/stream.h"

namespace moai::transport {
namespace {

// One file: the words of both rings on a page, then the ring to the server, then the ring to the
// client.
constexpr uint64_t kWordsBytes = 4096;
constexpr uint64_t kFileBytes = kWordsBytes + kRingToServerBytes + kRingToClientBytes;
static_assert(2 * sizeof(RingWords) <= kWordsBytes);
static_assert(kRingToServerBytes % kRingUnit == 0 && kRingToClientBytes >= 4 * kFrameBytesMax);

// A grant waits so long at most for room in the socket; only a peer that never reads lets it fill.
constexpr double kNoticeSeconds = 1;
// A spin pays only when the peer can run meanwhile; then about as long as falling asleep and waking
// takes.
constexpr uint64_t kSpinNs = 4000;
// A caller that only asks for messages hears of the peer's death after so many vain questions.
constexpr uint32_t kLooksBetweenChecks = 64;

bool may_spin() {
  static const bool is_worth_it = ::sysconf(_SC_NPROCESSORS_ONLN) > 2;
  return is_worth_it;
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class ShmConnection final : public Connection {
 public:
  ShmConnection(Fd socket, ShmDescriptors d, Mapping memory, Fd events, ShmOptions o);
  ~ShmConnection() override { close(); }

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
  Status usable() const;
  void mark_failed(Status);
  Status fail(Status);
  void publish();
  void ring_bell();
  Status wait_for_space(uint64_t bytes, Deadline);
  void put_frame(uint8_t kind, uint32_t flags, std::span<const std::byte> piece);
  StatusOr<bool> take_frame(uint64_t available);
  void release(bool at_once);
  bool has_data();
  bool spin_for_data();
  void sleep(Deadline);
  void look_at_socket();
  void catch_up_with_notices();
  Status tell(const Notice&, int fd);
  StatusOr<std::span<std::byte>> peer_memory(const Window&, uint64_t offset, uint64_t bytes);

  Fd socket_, own_bell_, peer_bell_, events_;
  Mapping memory_;
  RingWords* out_words_;
  RingProducer out_;
  RingConsumer in_;
  FrameWriter writer_;
  FrameReader reader_;
  MessageAssembler assembler_;
  NoticeReader notice_reader_;
  PeerWindows peer_windows_;
  RegionTable regions_{RegionTable::Kind::shared_memory};
  uint64_t notices_sent_ = 0, notices_seen_ = 0;
  const PathInfo path_;
  TransportCounters counters_;
  Status failure_;
  bool is_closed_ = false, is_peer_gone_ = false;
  uint32_t vain_looks_ = 0;
  std::atomic<bool> is_woken_{false};
  mutable bool has_event_loop_ = false;  // event_fd() was asked for: stay armed between calls
};

RingWords* words_of(const Mapping& m, bool to_server) {
  return std::launder(reinterpret_cast<RingWords*>(m.data())) + (to_server ? 0 : 1);
}
std::byte* ring_of(const Mapping& m, bool to_server) {
  return m.data() + kWordsBytes + (to_server ? 0 : kRingToServerBytes);
}
uint32_t bytes_of(bool to_server) { return to_server ? kRingToServerBytes : kRingToClientBytes; }

ShmConnection::ShmConnection(Fd socket, ShmDescriptors d, Mapping memory, Fd events, ShmOptions o)
    : socket_(std::move(socket)),
      own_bell_(std::move(o.is_server ? d.server_bell : d.client_bell)),
      peer_bell_(std::move(o.is_server ? d.client_bell : d.server_bell)),
      events_(std::move(events)),
      memory_(std::move(memory)),
      out_words_(words_of(memory_, !o.is_server)),
      out_(out_words_, ring_of(memory_, !o.is_server), bytes_of(!o.is_server)),
      in_(words_of(memory_, o.is_server), ring_of(memory_, o.is_server), bytes_of(o.is_server)),
      writer_(o.generation, o.has_crc),
      reader_(o.generation, o.has_crc),
      path_(std::move(o.path)) {}

Status ShmConnection::usable() const {
  if (is_closed_) return unavailable("[transport] the connection is closed");
  return failure_;
}

// The first failure stays. The peer learns by the end of the socket.
void ShmConnection::mark_failed(Status s) {
  if (!failure_.ok()) return;
  failure_ = std::move(s);
  ::shutdown(socket_.fd(), SHUT_RDWR);
}

Status ShmConnection::fail(Status s) {
  mark_failed(std::move(s));
  return failure_;
}

void ShmConnection::ring_bell() {
  counters_.doorbells++;
  signal_eventfd(peer_bell_.fd());
}

void ShmConnection::publish() {
  if (out_.publish()) ring_bell();
}

void ShmConnection::release(bool at_once) {
  if (in_.release(at_once)) ring_bell();
}

// --- sending

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
    MOAI_ASSIGN_OR_RETURN(uint64_t space, out_.space(bytes));
    if (space >= bytes) break;
    if (!has_waited) counters_.credit_waits++;
    has_waited = true;
    publish();
    out_.set_sleeping(true);
    auto again = out_.space(bytes);
    if (!again.ok()) return fail(again.status());
    if (*again < bytes && !is_peer_gone_) sleep(deadline);
    out_.set_sleeping(false);
    MOAI_RETURN_IF_ERROR(usable());
    if (is_peer_gone_) return unavailable("[transport] the peer is gone");
    if (*again < bytes && has_passed(deadline)) {
      MOAI_ASSIGN_OR_RETURN(space, out_.space(bytes));
      if (space < bytes)
        return {StatusCode::deadline_exceeded,
                "[transport] the peer did not take messages in time"};
    }
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

// --- receiving

StatusOr<Message> ShmConnection::next_message() {
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
      return assembler_.take();
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
  if (!may_spin()) return false;
  for (const uint64_t until = now_ns() + kSpinNs; now_ns() < until; pause_cpu())
    if (has_data()) return true;
  return false;
}

Status ShmConnection::wait(Deadline deadline) {
  MOAI_RETURN_IF_ERROR(usable());
  publish();
  release(true);
  for (;;) {
    if (is_woken_.exchange(false) || has_data() || spin_for_data()) return {};
    if (is_peer_gone_) return unavailable("[transport] the peer is gone");
    in_.set_sleeping(true);
    if (!has_data()) sleep(deadline);
    in_.set_sleeping(has_event_loop_);
    MOAI_RETURN_IF_ERROR(usable());
    if (is_peer_gone_ || !has_passed(deadline)) continue;
    if (is_woken_.exchange(false) || has_data()) return {};
    return {StatusCode::deadline_exceeded, "[transport] no message came in time"};
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

// --- windows

void ShmConnection::catch_up_with_notices() {
  if (in_.notices() != notices_seen_) look_at_socket();
}

Status ShmConnection::tell(const Notice& n, int fd) {
  MOAI_RETURN_IF_ERROR(send_notice(socket_.fd(), n, fd, in_seconds(kNoticeSeconds)));
  out_words_->notices.store(++notices_sent_, std::memory_order_release);
  return {};
}

StatusOr<Region> ShmConnection::make_region(uint64_t bytes) {
  MOAI_RETURN_IF_ERROR(usable());
  return regions_.make(bytes);
}

void ShmConnection::free_region(Region r) {
  RegionTable::Entry* e = regions_.find(r);
  if (!e) return;
  const bool tells = e->is_passed && usable().ok();
  regions_.free(r);
  if (tells && !tell({NoticeKind::drop, make_handle(0, r.slot), 0}, -1).ok()) is_peer_gone_ = true;
}

StatusOr<Window> ShmConnection::grant(const Region& r) {
  MOAI_RETURN_IF_ERROR(usable());
  RegionTable::Entry* e = regions_.find(r);
  const bool is_new = e && !e->is_granted;
  MOAI_ASSIGN_OR_RETURN(Window w, regions_.grant(r));
  if (!is_new) return w;
  if (Status s = tell({NoticeKind::grant, w.handle, w.bytes}, e->is_passed ? -1 : e->file.fd());
      !s.ok()) {
    if (Status undo = regions_.revoke(w); !undo.ok()) return undo;
    return s;
  }
  e->is_passed = true;
  e->file.reset();  // the mapping keeps the memory
  return w;
}

Status ShmConnection::revoke(const Window& w) {
  MOAI_RETURN_IF_ERROR(usable());
  MOAI_RETURN_IF_ERROR(regions_.revoke(w));
  return tell({NoticeKind::revoke, w.handle, 0}, -1);
}

StatusOr<std::span<std::byte>> ShmConnection::peer_memory(const Window& w, uint64_t offset,
                                                          uint64_t bytes) {
  MOAI_RETURN_IF_ERROR(usable());
  catch_up_with_notices();
  MOAI_RETURN_IF_ERROR(usable());
  if (is_peer_gone_) return unavailable("[transport] the peer is gone");
  return peer_windows_.access(w, offset, bytes);
}

Status ShmConnection::write(const Window& w, uint64_t to, std::span<const std::byte> from,
                            Deadline) {
  MOAI_ASSIGN_OR_RETURN(auto memory, peer_memory(w, to, from.size()));
  if (!from.empty()) std::memcpy(memory.data(), from.data(), from.size());
  counters_.window_bytes_out += from.size();
  return {};
}

Status ShmConnection::read(const Window& w, uint64_t from, std::span<std::byte> to, Deadline) {
  MOAI_ASSIGN_OR_RETURN(auto memory, peer_memory(w, from, to.size()));
  if (!to.empty()) std::memcpy(to.data(), memory.data(), to.size());
  counters_.window_bytes_in += to.size();
  return {};
}

// --- life

int ShmConnection::event_fd() const {
  if (!has_event_loop_) {
    has_event_loop_ = true;
    signal_eventfd(own_bell_.fd());  // readable once: the first look arms
  }
  return events_.fd();
}

// Own regions stay until they are freed or the connection dies: their owner may still use the
// memory.
void ShmConnection::close() {
  if (is_closed_) return;
  if (failure_.ok() && !is_peer_gone_) publish();
  is_closed_ = true;
  ::shutdown(socket_.fd(), SHUT_RDWR);
  socket_.reset();
  peer_windows_.clear();
  peer_bell_.reset();
}

bool is_eventfd(int fd) {
  char path[32], target[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t n = ::readlink(path, target, sizeof target);
  constexpr std::string_view kName = "anon_inode:[eventfd]";
  return n == static_cast<ssize_t>(kName.size()) && std::string_view(target, kName.size()) == kName;
}

}  // namespace

StatusOr<ShmDescriptors> make_shm_descriptors() {
  ShmDescriptors d;
  MOAI_ASSIGN_OR_RETURN(d.memory, make_shared_memory("moai-rings", kFileBytes));
  MOAI_ASSIGN_OR_RETURN(d.server_bell, make_eventfd());
  MOAI_ASSIGN_OR_RETURN(d.client_bell, make_eventfd());
  return d;
}

Status check_shm_descriptors(const ShmDescriptors& d) {
  MOAI_RETURN_IF_ERROR(check_shared_memory(d.memory.fd(), kFileBytes));
  for (int bell : {d.server_bell.fd(), d.client_bell.fd()}) {
    if (!is_eventfd(bell))
      return invalid("[transport] the peer passed something that is no event descriptor");
    MOAI_RETURN_IF_ERROR(make_nonblocking(bell));
  }
  return {};
}

StatusOr<std::unique_ptr<Connection>> make_shm_connection(Fd socket, ShmDescriptors d,
                                                          ShmOptions o) {
  MOAI_RETURN_IF_ERROR(make_nonblocking(socket.fd()));
  MOAI_ASSIGN_OR_RETURN(Mapping memory, Mapping::shared(d.memory.fd(), kFileBytes));
  MOAI_ASSIGN_OR_RETURN(
      Fd events, make_event_set((o.is_server ? d.server_bell : d.client_bell).fd(), socket.fd()));
  std::unique_ptr<Connection> c(new (std::nothrow) ShmConnection(
      std::move(socket), std::move(d), std::move(memory), std::move(events), std::move(o)));
  if (!c) return Status(StatusCode::resource_exhausted, "[transport] no memory for a connection");
  return c;
}

}  // namespace moai::transport
