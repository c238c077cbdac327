#include "transport/shm/ring.h"

#include <string>

namespace moai::transport {
namespace {

// Sleeping works like this: the sleeper stores its word and then looks at the position; the waker
// stores the position and then looks at the word. Sequential consistency makes one of them see the
// other.
constexpr auto kOrdered = std::memory_order_seq_cst;

Status broken(const char* what) {
  return invalid(std::string("[transport] the peer wrote an impossible ") + what +
                 " position into the shared ring");
}

bool take_sleeper(std::atomic<uint32_t>& word) {
  return word.load(kOrdered) != 0 && word.exchange(0, kOrdered) != 0;
}

}  // namespace

StatusOr<uint64_t> RingProducer::space(uint64_t wanted) {
  const uint64_t known = bytes_ - (position_ - read_seen_);
  if (known >= wanted) return known;
  const uint64_t read = words_->read.load(kOrdered);
  if (read % kRingUnit != 0 || read < read_seen_ || read > published_) return broken("read");
  read_seen_ = read;
  return bytes_ - (position_ - read_seen_);
}

uint32_t RingProducer::pad_before(uint32_t frame_bytes) const {
  const uint32_t left = bytes_ - static_cast<uint32_t>(position_ % bytes_);
  return ring_bytes(frame_bytes) > left ? left : 0;
}

uint32_t RingProducer::cost(uint32_t frame_bytes) const {
  return ring_bytes(frame_bytes) + pad_before(frame_bytes);
}

bool RingProducer::publish() {
  if (!has_unpublished()) return false;
  published_ = position_;
  words_->written.store(position_, kOrdered);
  return take_sleeper(words_->reader_sleeps);
}

void RingProducer::set_sleeping(bool sleeps) { words_->writer_sleeps.store(sleeps, kOrdered); }

StatusOr<uint64_t> RingConsumer::available() {
  if (written_seen_ != position_) return written_seen_ - position_;
  const uint64_t written = words_->written.load(kOrdered);
  if (written % kRingUnit != 0 || written < written_seen_ || written - released_ > bytes_)
    return broken("write");
  written_seen_ = written;
  return written_seen_ - position_;
}

bool RingConsumer::release(bool at_once) {
  if (position_ == released_ || (!at_once && position_ - released_ < bytes_ / 4)) return false;
  released_ = position_;
  words_->read.store(position_, kOrdered);
  return take_sleeper(words_->writer_sleeps);
}

void RingConsumer::set_sleeping(bool sleeps) { words_->reader_sleeps.store(sleeps, kOrdered); }

}  // namespace moai::transport
