#include "transport/sim/sim.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>

#include "transport/regions.h"
#include "transport/stream.h"

namespace moai::transport {
namespace {

constexpr uint32_t kGeneration = 7;

struct Flight {
  uint64_t arrives_ns = 0;
  std::vector<std::byte> frame;
};

// One end as the other sees it. All of it belongs to the Network's mutex.
struct End {
  std::deque<Flight> inbox;  // in order of arrival
  uint64_t inbox_bytes = 0;
  RegionTable regions{RegionTable::Kind::private_memory};
  bool is_closed = false;
  bool is_woken = false;
};

class Network : public Clock {
 public:
  Network(uint64_t seed, SimOptions o)
      : options(std::move(o)), now_(options.start_ns), random_(seed) {
    for (int i = 0; i < 4; i++) random();  // close seeds differ from here on
  }
  uint64_t now_ns() const override { return now_.load(); }
  void move_to(uint64_t t) { now_.store(std::max(t, now_.load())); }
  uint64_t random() {  // splitmix64, by Sebastiano Vigna (public domain)
    uint64_t z = random_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint64_t random_below(uint64_t n) { return n == 0 ? 0 : random() % n; }

  const SimOptions options;
  std::mutex mutex;
  End ends[2];
  uint64_t frames = 0;
  bool is_cut = false;

 private:
  std::atomic<uint64_t> now_;
  uint64_t random_;
};

class SimConnection final : public Connection {
 public:
  SimConnection(std::shared_ptr<Network> n, int side)
      : network_(std::move(n)), own_(network_->ends[side]), peer_(network_->ends[1 - side]) {}
  ~SimConnection() override { close(); }

  Status send(uint8_t kind, std::span<const std::byte> body, Deadline) override;
  Status flush(Deadline) override;
  Status next_message(Message& into) override;
  using Connection::next_message;
  Status wait(Deadline) override;
  void wake() override;
  StatusOr<Region> make_region(uint64_t bytes) override;
  void free_region(Region) override;
  StatusOr<Window> grant(const Region&) override;
  Status revoke(const Window&) override;
  Status write(const Window&, uint64_t to, std::span<const std::byte> from, Deadline) override;
  Status read(const Window&, uint64_t from, std::span<std::byte> to, Deadline) override;
  int event_fd() const override { return -1; }
  const PathInfo& path() const override { return path_; }
  TransportCounters counters() const override { return counters_; }
  void close() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  Status usable() const;
  Status alive() const;
  bool has_left() const { return network_->is_cut || peer_.is_closed; }
  bool has_arrived() const;
  Status let_time_pass(Lock&, uint64_t until_ns, Deadline, const char* late);
  Status wait_for_room(Lock&, uint64_t bytes, Deadline);
  void launch();
  StatusOr<bool> take_frame();
  StatusOr<std::span<std::byte>> peer_memory(const Window&, uint64_t offset, uint64_t bytes);

  const std::shared_ptr<Network> network_;
  End& own_;
  End& peer_;
  std::deque<std::vector<std::byte>> queued_;  // sent, not yet flushed
  uint64_t queued_bytes_ = 0;
  FrameWriter writer_{kGeneration, true};
  FrameReader reader_{kGeneration, true};
  MessageAssembler assembler_;
  const PathInfo path_{"sim", "sim, one process"};
  TransportCounters counters_;
  Status failure_;
};

Status SimConnection::usable() const {
  if (own_.is_closed) return unavailable("[transport] the connection is closed");
  return failure_;
}

Status SimConnection::alive() const {
  MOAI_RETURN_IF_ERROR(usable());
  return has_left() ? unavailable("[transport] the peer is gone") : ok_status();
}

bool SimConnection::has_arrived() const {
  return !own_.inbox.empty() && own_.inbox.front().arrives_ns <= network_->now_ns();
}

// Moves the clock to the next thing that can happen, at most to the deadline; there it says `late`.
Status SimConnection::let_time_pass(Lock& lock, uint64_t until_ns, Deadline deadline,
                                    const char* late) {
  if (network_->now_ns() >= deadline.at_ns) return {StatusCode::deadline_exceeded, late};
  if (until_ns <= deadline.at_ns && until_ns != UINT64_MAX) {
    network_->move_to(until_ns);
    return {};
  }
  if (!network_->options.idle) {
    if (deadline.at_ns != UINT64_MAX) network_->move_to(deadline.at_ns);
    return {StatusCode::deadline_exceeded, late};
  }
  lock.unlock();
  network_->options.idle();
  lock.lock();
  network_->move_to(std::min(network_->now_ns() + network_->options.idle_ns, deadline.at_ns));
  return {};
}

// --- sending

Status SimConnection::wait_for_room(Lock& lock, uint64_t bytes, Deadline deadline) {
  const uint64_t limit = network_->options.queue_bytes;
  auto is_full = [&] {
    const uint64_t waiting = peer_.inbox_bytes + queued_bytes_;
    return waiting != 0 && waiting + bytes > limit;
  };
  if (is_full()) {
    counters_.credit_waits++;
    launch();
  }
  while (is_full()) {
    MOAI_RETURN_IF_ERROR(alive());
    MOAI_RETURN_IF_ERROR(let_time_pass(lock, UINT64_MAX, deadline,
                                       "[transport] the peer did not take messages in time"));
  }
  return alive();
}

Status SimConnection::send(uint8_t kind, std::span<const std::byte> body, Deadline deadline) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(alive());
  if (body.size() > kMessageBytesMax)
    return invalid("[transport] a message of " + std::to_string(body.size()) +
                   " bytes is too long; send it through a window");
  const bool fits = body.size() + kFrameBytesMax <= network_->options.queue_bytes;
  if (fits) MOAI_RETURN_IF_ERROR(wait_for_room(lock, body.size(), deadline));
  bool has_begun = false;
  return for_each_piece(body, [&](uint32_t flags, auto piece) -> Status {
    if (!fits) {
      Status s = wait_for_room(lock, piece.size(), deadline);
      if (!s.ok() && has_begun) failure_ = s;  // half a message cannot be taken back
      if (!s.ok()) return s;
    }
    has_begun = true;
    std::vector<std::byte> frame(kFrameHeaderBytes + piece.size());
    writer_.put(frame.data(), kind, flags, 0, piece);
    counters_.frames_sent++;
    counters_.bytes_sent += frame.size();
    queued_bytes_ += frame.size();
    queued_.push_back(std::move(frame));
    return {};
  });
}

// Queued frames leave, each with a delay of its own.
void SimConnection::launch() {
  for (; !queued_.empty(); queued_.pop_front()) {
    const uint64_t number = network_->frames++;
    if (number >= network_->options.cut_at_frame) network_->is_cut = true;
    if (network_->is_cut) continue;
    Flight f;
    f.frame = std::move(queued_.front());
    if (number == network_->options.flip_at_frame) {
      const uint64_t bit = network_->random_below(8 * f.frame.size());
      f.frame[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    }
    f.arrives_ns = network_->now_ns() + network_->random_below(network_->options.delay_ns_max + 1);
    if (!peer_.inbox.empty()) f.arrives_ns = std::max(f.arrives_ns, peer_.inbox.back().arrives_ns);
    peer_.inbox_bytes += f.frame.size();
    peer_.inbox.push_back(std::move(f));
  }
  queued_bytes_ = 0;
}

Status SimConnection::flush(Deadline) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(alive());
  if (!queued_.empty()) counters_.doorbells++;
  launch();
  return {};
}

// --- receiving

StatusOr<bool> SimConnection::take_frame() {
  const std::vector<std::byte> frame = std::move(own_.inbox.front().frame);
  own_.inbox.pop_front();
  own_.inbox_bytes -= frame.size();
  const FrameHeader h = get_header(frame.data());
  MOAI_RETURN_IF_ERROR(reader_.check(h));
  if (h.bytes != frame.size())
    return invalid("[transport] a frame has another length than it says");
  const auto body = std::span(frame).subspan(kFrameHeaderBytes);
  MOAI_RETURN_IF_ERROR(reader_.accept(h, body));
  MOAI_ASSIGN_OR_RETURN(auto to, assembler_.body_for(h));
  if (!body.empty()) std::memcpy(to.data(), body.data(), body.size());
  counters_.frames_received++;
  counters_.bytes_received += frame.size();
  return assembler_.finish(h);
}

Status SimConnection::next_message(Message& into) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(usable());
  while (has_arrived()) {
    auto is_whole = take_frame();
    if (!is_whole.ok()) {
      failure_ = is_whole.status();
      return failure_;
    }
    if (!*is_whole) continue;
    assembler_.take(into);
    return {};
  }
  if (own_.inbox.empty()) MOAI_RETURN_IF_ERROR(alive());
  return Status(StatusCode::again, "");
}

Status SimConnection::wait(Deadline deadline) {
  Lock lock(network_->mutex);
  launch();
  for (;;) {
    MOAI_RETURN_IF_ERROR(usable());
    if (own_.is_woken || has_arrived()) {
      own_.is_woken = false;
      return {};
    }
    if (own_.inbox.empty()) MOAI_RETURN_IF_ERROR(alive());
    const uint64_t next = own_.inbox.empty() ? UINT64_MAX : own_.inbox.front().arrives_ns;
    MOAI_RETURN_IF_ERROR(let_time_pass(lock, next, deadline, ""));
  }
}

void SimConnection::wake() {
  Lock lock(network_->mutex);
  own_.is_woken = true;
}

// --- windows

StatusOr<Region> SimConnection::make_region(uint64_t bytes) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(usable());
  return own_.regions.make(bytes);
}

void SimConnection::free_region(Region r) {
  Lock lock(network_->mutex);
  own_.regions.free(r);
}

StatusOr<Window> SimConnection::grant(const Region& r) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(alive());
  return own_.regions.grant(r);
}

Status SimConnection::revoke(const Window& w) {
  Lock lock(network_->mutex);
  MOAI_RETURN_IF_ERROR(usable());
  return own_.regions.revoke(w);
}

StatusOr<std::span<std::byte>> SimConnection::peer_memory(const Window& w, uint64_t offset,
                                                          uint64_t bytes) {
  MOAI_RETURN_IF_ERROR(alive());
  MOAI_ASSIGN_OR_RETURN(auto memory, peer_.regions.access(w.handle, offset, bytes));
  if (!is_inside(offset, bytes, w.bytes)) return outside_window(offset, bytes, w.bytes);
  return memory;
}

Status SimConnection::write(const Window& w, uint64_t to, std::span<const std::byte> from,
                            Deadline) {
  Lock lock(network_->mutex);
  MOAI_ASSIGN_OR_RETURN(auto memory, peer_memory(w, to, from.size()));
  if (!from.empty()) std::memcpy(memory.data(), from.data(), from.size());
  counters_.window_bytes_out += from.size();
  return {};
}

Status SimConnection::read(const Window& w, uint64_t from, std::span<std::byte> to, Deadline) {
  Lock lock(network_->mutex);
  MOAI_ASSIGN_OR_RETURN(auto memory, peer_memory(w, from, to.size()));
  if (!to.empty()) std::memcpy(to.data(), memory.data(), to.size());
  counters_.window_bytes_in += to.size();
  return {};
}

void SimConnection::close() {
  Lock lock(network_->mutex);
  if (own_.is_closed) return;
  if (alive().ok()) launch();
  own_.is_closed = true;
}

}  // namespace

SimPair make_sim_pair(uint64_t seed, SimOptions options) {
  auto network = std::make_shared<Network>(seed, std::move(options));
  return {std::make_unique<SimConnection>(network, 0), std::make_unique<SimConnection>(network, 1),
          network};
}

}  // namespace moai::transport
