// Windows and the life of a shared-memory connection.
#include "transport/shm/shm_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

#include "src/base/clock.h"
#include "transport/shm/shm_impl.h"
#include "transport/socket_io.h"

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

RingWords* words_of(const Mapping& m, bool to_server) {
  return std::launder(reinterpret_cast<RingWords*>(m.data())) + (to_server ? 0 : 1);
}
std::byte* ring_of(const Mapping& m, bool to_server) {
  return m.data() + kWordsBytes + (to_server ? 0 : kRingToServerBytes);
}
uint32_t bytes_of(bool to_server) { return to_server ? kRingToServerBytes : kRingToClientBytes; }

bool is_eventfd(int fd) {
  char path[32], target[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t n = ::readlink(path, target, sizeof target);
  constexpr std::string_view kName = "anon_inode:[eventfd]";
  return n == static_cast<ssize_t>(kName.size()) && std::string_view(target, kName.size()) == kName;
}

}  // namespace

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
  if (guard_.is_in_child())
    return unavailable(
        "[transport] the connection belongs to the parent process; a forked child cannot use it");
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
  const bool tells = e->is_passed && usable().ok() && !is_peer_gone_;
  regions_.free(r);
  if (!tells) return;
  // A peer that was not told would write into memory that nobody reads: better no connection.
  if (Status s = tell({NoticeKind::drop, make_handle(0, r.slot), 0}, -1); !s.ok())
    mark_failed(std::move(s));
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
  if (usable().ok() && !is_peer_gone_) publish();
  is_closed_ = true;
  if (guard_.is_in_child()) {
    socket_.release();
  } else {
    ::shutdown(socket_.fd(), SHUT_RDWR);
    guard_.release();
    socket_.reset();
  }
  peer_windows_.clear();
  peer_bell_.reset();
}

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
