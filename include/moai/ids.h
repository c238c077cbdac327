// Ids that cross rooms, as types of their own.
#pragma once
#include <compare>
#include <cstdint>

namespace moai {

// A storage of one session. Given by the client in order of first appearance, never reused; 0 is
// none.
enum class StorageId : uint64_t { none = 0 };

// Names a segment: 128-bit hash of its records.
struct SegmentId {
  uint64_t hi = 0, lo = 0;
  auto operator<=>(const SegmentId&) const = default;
};

struct SegmentIdHash {
  uint64_t operator()(const SegmentId& id) const { return id.lo; }
};

}  // namespace moai
