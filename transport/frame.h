// The 32-byte header in front of every frame, the same on all transports.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "moai/limits.h"
#include "moai/status.h"

namespace moai::transport {

inline constexpr uint8_t kFrameVersion = 1;
inline constexpr uint32_t kFrameBodyMax = kFrameBytesMax - kFrameHeaderBytes;

enum FrameFlag : uint32_t {
  kFlagMore = 1,     // more frames of this message follow
  kFlagPad = 2,      // fills a ring up to its end; has no number
  kFlagSealed = 4,   // reserved: encrypted body
  kFlagControl = 8,  // for the transport itself: `kind` is its own
};

// `deps` and `credit` are for transports whose data may overtake frames; others send 0 and the ring
// position.
struct FrameHeader {
  uint64_t seq = 0;
  uint32_t bytes = kFrameHeaderBytes;  // header and body
  uint8_t version = kFrameVersion;
  uint8_t kind = 0;
  uint16_t deps = 0;
  uint32_t credit = 0;
  uint32_t crc32c = 0;  // of header, with this field 0, and body; 0 where it is not used
  uint32_t generation = 0;
  uint32_t flags = 0;

  uint32_t body_bytes() const { return bytes - kFrameHeaderBytes; }
};

// Requires: kFrameHeaderBytes at `to` or `from`.
void put_header(std::byte* to, const FrameHeader&);
FrameHeader get_header(const std::byte* from);
uint32_t frame_crc(FrameHeader, std::span<const std::byte> body);
// What a header may say at all; size first, so that body_bytes() is safe afterwards.
Status check_header(const FrameHeader&);

}  // namespace moai::transport
