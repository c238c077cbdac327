// Messages to frames and back: numbering, splitting, checking, reassembly. No I/O here.
//
// A reader works on one frame at a time: check() on a private copy of the header, copy the body to
// where body_for() says, then accept(). Nothing of a frame is used before accept() returned ok.
#pragma once
#include <span>
#include <vector>

#include "moai/transport.h"
#include "transport/frame.h"

namespace moai::transport {

// Calls each(flags, piece) for every frame that a message of `body` needs; stops at the first
// error.
template <class Each>
Status for_each_piece(std::span<const std::byte> body, Each each) {
  do {
    auto piece = body.first(body.size() < kFrameBodyMax ? body.size() : kFrameBodyMax);
    body = body.subspan(piece.size());
    MOAI_RETURN_IF_ERROR(each(body.empty() ? 0u : static_cast<uint32_t>(kFlagMore), piece));
  } while (!body.empty());
  return {};
}

class FrameWriter {
 public:
  FrameWriter(uint32_t generation, bool has_crc) : generation_(generation), has_crc_(has_crc) {}
  // The header of the next frame, whose body is the pieces one after another; counts it.
  FrameHeader next(uint8_t kind, uint32_t flags, uint32_t credit, std::span<const std::byte> body);
  // Writes header and body. Requires: room for both at `to`, body of at most kFrameBodyMax.
  void put(std::byte* to, uint8_t kind, uint32_t flags, uint32_t credit,
           std::span<const std::byte> body);
  FrameHeader pad(uint32_t bytes) const;

 private:
  uint64_t next_seq_ = 1;
  const uint32_t generation_;
  const bool has_crc_;
};

class FrameReader {
 public:
  FrameReader(uint32_t generation, bool has_crc) : generation_(generation), has_crc_(has_crc) {}
  // Everything that the header alone can show: sizes, version, generation, number.
  Status check(const FrameHeader&) const;
  // Checks the sum and counts the frame. Requires: check() passed, body is private memory.
  Status accept(const FrameHeader&, std::span<const std::byte> body);

 private:
  uint64_t next_seq_ = 1;
  const uint32_t generation_;
  const bool has_crc_;
};

// Joins the frames of one message. Frames for the transport itself may lie between them.
class MessageAssembler {
 public:
  // Where the body of this frame goes, or why it may not: another kind in mid-message, too long.
  StatusOr<std::span<std::byte>> body_for(const FrameHeader&);
  // True when the frame just placed ended its message.
  bool finish(const FrameHeader&);
  // The message that finish() ended. Its buffer is exchanged for that of `into`.
  void take(Message& into);
  bool is_empty() const { return !is_open_; }

 private:
  // Reserves or resizes; false when there is no memory.
  bool grow(size_t capacity, size_t bytes);
  bool is_open_ = false;
  Message message_;
};

}  // namespace moai::transport
