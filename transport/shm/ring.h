// A ring of frames in shared memory with one producer and one consumer, in different processes.
//
// A position counts bytes since the beginning and is a multiple of 64. The other side's position is
// read once from memory that the peer may scribble over, then checked; nothing else of the ring is
// believed.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "moai/limits.h"
#include "moai/status.h"

namespace moai::transport {

inline constexpr uint32_t kRingUnit = 64;
constexpr uint32_t ring_bytes(uint32_t frame_bytes) {
  return (frame_bytes + kRingUnit - 1) / kRingUnit * kRingUnit;
}

// 128 apart: processors fetch lines in pairs.
struct RingWords {
  alignas(128) std::atomic<uint64_t> written;
  alignas(128) std::atomic<uint64_t> read;
  alignas(128) std::atomic<uint32_t> reader_sleeps;
  alignas(128) std::atomic<uint32_t> writer_sleeps;
  alignas(
      128) std::atomic<uint64_t> notices;  // packets that the producer sent over the control socket
};
static_assert(std::atomic<uint64_t>::is_always_lock_free &&
              std::atomic<uint32_t>::is_always_lock_free);

class RingProducer {
 public:
  RingProducer(RingWords* words, std::byte* data, uint32_t bytes)
      : words_(words), data_(data), bytes_(bytes) {}
  uint32_t capacity() const { return bytes_; }
  // Free bytes now; looks at the consumer's position only if the last one seen shows fewer than
  // `wanted`.
  StatusOr<uint64_t> space(uint64_t wanted);
  // Bytes a frame takes at this place: its own and those left over at the end of the ring.
  uint32_t cost(uint32_t frame_bytes) const;
  // Bytes to skip before a frame of this size; they must hold a PAD frame. 0: none.
  uint32_t pad_before(uint32_t frame_bytes) const;
  std::byte* at() const { return data_ + position_ % bytes_; }
  // Requires: space() >= what is advanced.
  void advance(uint32_t frame_bytes) { position_ += ring_bytes(frame_bytes); }
  bool has_unpublished() const { return position_ != published_; }
  // Makes everything so far visible. Returns whether the consumer sleeps and must be woken.
  bool publish();
  // Says that this side will sleep until there is space, or no longer does.
  void set_sleeping(bool);

 private:
  RingWords* words_;
  std::byte* data_;
  const uint32_t bytes_;
  uint64_t position_ = 0, published_ = 0, read_seen_ = 0;
};

class RingConsumer {
 public:
  RingConsumer(RingWords* words, const std::byte* data, uint32_t bytes)
      : words_(words), data_(data), bytes_(bytes) {}
  // Bytes published and not yet consumed; looks at the producer's position only when none are
  // known.
  StatusOr<uint64_t> available();
  // Bytes from here to the end of the ring.
  uint32_t to_end() const { return bytes_ - static_cast<uint32_t>(position_ % bytes_); }
  const std::byte* at() const { return data_ + position_ % bytes_; }
  // Requires: available() >= bytes.
  void advance(uint32_t frame_bytes) { position_ += ring_bytes(frame_bytes); }
  // Gives consumed bytes back, if `at_once` or a quarter of the ring has gathered. Returns whether
  // the producer sleeps and must be woken.
  bool release(bool at_once);
  void set_sleeping(bool);
  uint32_t credit() const { return static_cast<uint32_t>(position_ / kRingUnit); }
  uint64_t notices() const { return words_->notices.load(std::memory_order_acquire); }

 private:
  RingWords* words_;
  const std::byte* data_;
  const uint32_t bytes_;
  uint64_t position_ = 0, released_ = 0, written_seen_ = 0;
};

}  // namespace moai::transport
