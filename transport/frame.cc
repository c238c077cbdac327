#include "transport/frame.h"

#include <string>

#include "src/base/bytes.h"
#include "src/base/crc32c.h"

namespace moai::transport {

void put_header(std::byte* to, const FrameHeader& h) {
  store_le(to, h.seq);
  store_le(to + 8, h.bytes);
  store_le(to + 12, h.version);
  store_le(to + 13, h.kind);
  store_le(to + 14, h.deps);
  store_le(to + 16, h.credit);
  store_le(to + 20, h.crc32c);
  store_le(to + 24, h.generation);
  store_le(to + 28, h.flags);
}

FrameHeader get_header(const std::byte* from) {
  FrameHeader h;
  h.seq = load_le<uint64_t>(from);
  h.bytes = load_le<uint32_t>(from + 8);
  h.version = load_le<uint8_t>(from + 12);
  h.kind = load_le<uint8_t>(from + 13);
  h.deps = load_le<uint16_t>(from + 14);
  h.credit = load_le<uint32_t>(from + 16);
  h.crc32c = load_le<uint32_t>(from + 20);
  h.generation = load_le<uint32_t>(from + 24);
  h.flags = load_le<uint32_t>(from + 28);
  return h;
}

uint32_t frame_crc(FrameHeader h, std::span<const std::byte> body) {
  h.crc32c = 0;
  std::byte raw[kFrameHeaderBytes];
  put_header(raw, h);
  return moai::crc32c(moai::crc32c(0, raw), body);
}

Status check_header(const FrameHeader& h) {
  if (h.bytes < kFrameHeaderBytes || h.bytes > kFrameBytesMax)
    return invalid("[transport] a frame of " + std::to_string(h.bytes) + " bytes came; at most " +
                   std::to_string(kFrameBytesMax) + " are allowed");
  if (h.version != kFrameVersion)
    return {StatusCode::version_mismatch,
            "[transport] a frame of version " + std::to_string(h.version) +
                " came; this side speaks " + std::to_string(kFrameVersion)};
  constexpr uint32_t kKnown = kFlagMore | kFlagPad | kFlagControl;
  if ((h.flags & ~kKnown) != 0 || h.deps != 0)
    return invalid("[transport] a frame asks for what this side does not know (flags " +
                   std::to_string(h.flags) + ", deps " + std::to_string(h.deps) + ")");
  return {};
}

}  // namespace moai::transport
