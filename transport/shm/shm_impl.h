// The class behind make_shm_connection(), whose parts lie in two files: frames, and the rest.
#pragma once
#include <atomic>
#include <memory>

#include "src/base/mapping.h"
#include "transport/fork_guard.h"
#include "transport/regions.h"
#include "transport/shm/notices.h"
#include "transport/shm/ring.h"
#include "transport/shm/shm_connection.h"
#include "transport/stream.h"

namespace moai::transport {

class ShmConnection final : public Connection {
 public:
  ShmConnection(Fd socket, ShmDescriptors d, Mapping memory, Fd events, ShmOptions o);
  ~ShmConnection() override { close(); }

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
  Status wait_asleep(Deadline);
  void sleep(Deadline);
  void look_at_socket();
  void catch_up_with_notices();
  Status tell(const Notice&, int fd);
  StatusOr<std::span<std::byte>> peer_memory(const Window&, uint64_t offset, uint64_t bytes);

  Fd socket_, own_bell_, peer_bell_, events_;
  ForkGuard guard_{socket_.fd()};
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
  uint64_t last_wait_ns_ = 0;
  std::atomic<bool> is_woken_{false};
  mutable bool has_event_loop_ = false;  // event_fd() was asked for: stay armed between calls
};

}  // namespace moai::transport
