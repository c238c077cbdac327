#include "transport/stream.h"

#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace moai::transport {
namespace {

// A longer buffer goes with its message; such are rare.
constexpr size_t kKeptBodyBytes = 256 << 10;

Status out_of_memory() {
  return {StatusCode::resource_exhausted, "[transport] no memory for an incoming message"};
}

}  // namespace

FrameHeader FrameWriter::next(uint8_t kind, uint32_t flags, uint32_t credit,
                              std::span<const std::byte> body) {
  FrameHeader h;
  h.seq = next_seq_++;
  h.bytes = kFrameHeaderBytes + static_cast<uint32_t>(body.size());
  h.kind = kind;
  h.credit = credit;
  h.generation = generation_;
  h.flags = flags;
  if (has_crc_) h.crc32c = frame_crc(h, body);
  return h;
}

void FrameWriter::put(std::byte* to, uint8_t kind, uint32_t flags, uint32_t credit,
                      std::span<const std::byte> body) {
  put_header(to, next(kind, flags, credit, body));
  if (!body.empty()) std::memcpy(to + kFrameHeaderBytes, body.data(), body.size());
}

FrameHeader FrameWriter::pad(uint32_t bytes) const {
  FrameHeader h;
  h.seq = next_seq_;
  h.bytes = bytes;
  h.generation = generation_;
  h.flags = kFlagPad;
  return h;
}

Status FrameReader::check(const FrameHeader& h) const {
  MOAI_RETURN_IF_ERROR(check_header(h));
  if (h.generation != generation_)
    return invalid("[transport] a frame of another connection came (generation " +
                   std::to_string(h.generation) + ", not " + std::to_string(generation_) + ")");
  if (h.seq != next_seq_)
    return invalid("[transport] frame " + std::to_string(h.seq) + " came where " +
                   std::to_string(next_seq_) + " was due");
  return {};
}

Status FrameReader::accept(const FrameHeader& h, std::span<const std::byte> body) {
  if (has_crc_ && frame_crc(h, body) != h.crc32c)
    return invalid("[transport] the checksum of frame " + std::to_string(h.seq) + " is wrong");
  next_seq_++;
  return {};
}

StatusOr<std::span<std::byte>> MessageAssembler::body_for(const FrameHeader& h) {
  if (is_open_ && h.kind != message_.kind)
    return invalid("[transport] a message of kind " + std::to_string(message_.kind) +
                   " was cut by one of kind " + std::to_string(h.kind));
  const size_t before = is_open_ ? message_.body.size() : 0, more = h.body_bytes();
  if (before + more > kMessageBytesMax)
    return Status(StatusCode::resource_exhausted,
                  "[transport] a message of more than " + std::to_string(kMessageBytesMax >> 20) +
                      " MiB came; larger data goes through a window");
  // A frame that promises more without bringing anything would let a peer keep us busy for nothing.
  if ((h.flags & kFlagMore) && more == 0)
    return invalid("[transport] an empty frame inside a message");
  if (!is_open_) {
    is_open_ = true;
    message_.body.clear();
    if (message_.body.capacity() > kKeptBodyBytes) std::vector<std::byte>().swap(message_.body);
    // Buffers go round; one that holds a frame grows no more in a steady exchange.
    if (message_.body.capacity() < kFrameBodyMax && !grow(kFrameBodyMax, 0)) return out_of_memory();
    message_.kind = h.kind;
    // One message in two frames or more is usually much longer: grow in few steps.
    if ((h.flags & kFlagMore) && !grow(8 * kFrameBodyMax, 0)) return out_of_memory();
  }
  if (!grow(0, before + more)) return out_of_memory();
  return std::span(message_.body).subspan(before);
}

bool MessageAssembler::grow(size_t capacity, size_t bytes) try {
  if (capacity != 0)
    message_.body.reserve(capacity);
  else
    message_.body.resize(bytes);
  return true;
} catch (const std::bad_alloc&) {
  return false;  // exceptions end here: this runs in the user's process
}

bool MessageAssembler::finish(const FrameHeader& h) {
  message_.seq = h.seq;
  return (h.flags & kFlagMore) == 0;
}

void MessageAssembler::take(Message& into) {
  is_open_ = false;
  std::swap(message_, into);
}

}  // namespace moai::transport
