// Segments that the client defined, and the bindings that each brought last.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "moai/ids.h"
#include "moai/status.h"
#include "src/wire/messages.h"

namespace moai::engine {

// A checked definition and what every execution of it asks.
struct Defined {
  wire::Segment segment;
  std::vector<uint32_t> fresh_slots;  // ascending
  uint64_t bytes = 0;                 // of the definition, roughly
  uint64_t last_use = 0;
};

// Definitions, the least recently used dropped past a limit: the client sends them again when
// asked.
class SegmentStore {
 public:
  explicit SegmentStore(uint64_t bytes_max = uint64_t{256} << 20) : bytes_max_(bytes_max) {}
  // Checks and keeps it.
  StatusOr<const Defined*> define(wire::Segment segment);
  const Defined* find(const SegmentId& id);
  size_t size() const { return segments_.size(); }

 private:
  void shrink(const SegmentId& keep);
  uint64_t bytes_max_;
  uint64_t bytes_ = 0, clock_ = 0;
  std::unordered_map<SegmentId, std::unique_ptr<Defined>, SegmentIdHash> segments_;
};

// The last bindings of the kRecentSegments most recently executed segments, in message order: both
// ends count alike, so a difference always meets its base.
class RecentBindings {
 public:
  // The storage id of every slot after `execute` (0 where it is fresh). Valid until the next call.
  StatusOr<const std::vector<uint64_t>*> update(const wire::Segment& segment,
                                                const wire::Execute& execute);
  size_t size() const { return index_.size(); }

 private:
  struct Entry {
    SegmentId id;
    std::vector<uint64_t> by_slot;
  };
  std::list<Entry> order_;  // most recent first
  std::unordered_map<SegmentId, std::list<Entry>::iterator, SegmentIdHash> index_;
};

}  // namespace moai::engine
