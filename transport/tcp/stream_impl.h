// The class behind make_stream_connection(), whose parts lie in three files: out, in, and the rest.
#pragma once
#include <atomic>
#include <deque>
#include <memory>

#include "src/base/ring.h"
#include "transport/fork_guard.h"
#include "transport/regions.h"
#include "transport/stream.h"
#include "transport/tcp/control.h"
#include "transport/tcp/stream_connection.h"

namespace moai::transport {

inline constexpr size_t kBufferBytes = 256u << 10;  // each way: 16 frames a system call
// While this side waits for room it keeps taking messages, or two senders would wait for each other
// for ever; beyond so many bytes it lets the peer wait.
inline constexpr size_t kReadyBytesMax = kMessageBytesMax;
// Room for so many is there from the start, since how many gather depends on timing.
inline constexpr size_t kReadyMessages = 16;
inline constexpr size_t kReadsMax = 64;  // of the peer, not yet answered

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
        path_(std::move(o.path)) {
    for (size_t i = 0; i < kReadyMessages; i++) ready_.push().body.reserve(kFrameBodyMax);
    ready_.clear();
  }
  ~StreamConnection() override { close(); }

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
  ForkGuard guard_{socket_.fd()};
  std::unique_ptr<std::byte[]> out_, in_;
  size_t out_begin_ = 0, out_end_ = 0, in_begin_ = 0, in_end_ = 0;
  FrameWriter writer_;
  FrameReader reader_;
  MessageAssembler assembler_;
  Ring<Message> ready_{kReadyMessages};
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

}  // namespace moai::transport
