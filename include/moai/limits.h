// Every maximum in one place: the unit is in the name.
#pragma once
#include <cstdint>

namespace moai {

inline constexpr int kRankMax = 8;
inline constexpr uint64_t kStorageBytesMax = uint64_t{1} << 46;

// Frames and messages (transport/, src/wire).
inline constexpr uint32_t kFrameBytesMax = 16384;  // header included
inline constexpr uint32_t kFrameHeaderBytes = 32;
inline constexpr uint32_t kMessageBytesMax = 64u << 20;  // over all its frames
inline constexpr uint32_t kRingToServerBytes = 1u << 20;
inline constexpr uint32_t kRingToClientBytes = 256u << 10;
inline constexpr uint32_t kInlineBytesMax = 256;  // uploads and reads inline up to this
inline constexpr uint64_t kWindowBytesMax = uint64_t{16} << 30;
inline constexpr uint32_t kRegionsMax = 4096;      // of one connection, each side
inline constexpr uint32_t kHelloBytesMax = 16384;  // handshake packet, header included

// Segments (src/wire, src/frontend).
inline constexpr uint32_t kSegmentOpsMax = 65536;
inline constexpr uint32_t kSegmentSlotsMax = 1u << 20;
inline constexpr uint32_t kSegmentViewsMax = 1u << 20;
inline constexpr uint32_t kSegmentArgsMax = 16u << 20;  // 64-bit words
inline constexpr uint32_t kUnfinishedSegmentsMax = 4;   // run-ahead of the client
inline constexpr uint32_t kRecentSegments = 256;        // diffed bindings

// Memory on a device.
inline constexpr uint64_t kBlockAlignBytes = 256;
inline constexpr uint64_t kExtentBytes = 64u << 20;
inline constexpr uint64_t kSlabBytesMax = 16u << 20;

static_assert(kFrameBytesMax % 64 == 0);

}  // namespace moai
