#include "src/engine/segment_store.h"

#include <string>
#include <utility>

#include "moai/limits.h"

namespace moai::engine {

StatusOr<const Defined*> SegmentStore::define(wire::Segment segment) {
  MOAI_RETURN_IF_ERROR(wire::verify(segment));
  auto defined = std::make_unique<Defined>();
  for (uint32_t slot = 0; slot < segment.slots.size(); slot++)
    if (segment.slots[slot].is_fresh) defined->fresh_slots.push_back(slot);
  defined->bytes = sizeof(Defined) + segment.words.size() * 8 +
                   segment.views.size() * sizeof(wire::View) +
                   segment.slots.size() * sizeof(wire::Slot) + segment.op_count() * 8;
  defined->last_use = ++clock_;
  SegmentId id = segment.id;
  defined->segment = std::move(segment);
  std::unique_ptr<Defined>& place = segments_[id];
  bytes_ += defined->bytes - (place ? place->bytes : 0);
  place = std::move(defined);
  const Defined* result = place.get();
  shrink(id);
  return result;
}

const Defined* SegmentStore::find(const SegmentId& id) {
  auto at = segments_.find(id);
  if (at == segments_.end()) return nullptr;
  at->second->last_use = ++clock_;
  return at->second.get();
}

void SegmentStore::shrink(const SegmentId& keep) {
  while (bytes_ > bytes_max_ && segments_.size() > 1) {
    auto oldest = segments_.end();
    for (auto at = segments_.begin(); at != segments_.end(); ++at)
      if (at->first != keep &&
          (oldest == segments_.end() || at->second->last_use < oldest->second->last_use))
        oldest = at;
    if (oldest == segments_.end()) return;
    bytes_ -= oldest->second->bytes;
    segments_.erase(oldest);
  }
}

namespace {

Status bind(const wire::Segment& segment, const wire::Execute& execute,
            std::vector<uint64_t>& by_slot) {
  for (auto [slot, storage] : execute.bindings) {
    if (slot >= segment.slots.size() || segment.slots[slot].is_fresh || storage == 0)
      return invalid("[execute] slot " + std::to_string(slot) + " cannot be bound to storage " +
                     std::to_string(storage));
    by_slot[slot] = storage;
  }
  for (size_t slot = 0; slot < by_slot.size(); slot++)
    if (by_slot[slot] == 0 && !segment.slots[slot].is_fresh)
      return invalid("[execute] slot " + std::to_string(slot) + " has no storage");
  return ok_status();
}

}  // namespace

StatusOr<const std::vector<uint64_t>*> RecentBindings::update(const wire::Segment& segment,
                                                              const wire::Execute& execute) {
  auto found = index_.find(execute.segment);
  if (found != index_.end()) {
    order_.splice(order_.begin(), order_, found->second);
  } else if (!execute.is_whole) {
    return invalid("[execute] a difference of bindings came for a segment that did not run lately");
  } else if (order_.size() == kRecentSegments) {
    index_.erase(order_.back().id);
    order_.splice(order_.begin(), order_, std::prev(order_.end()));
    order_.front().id = execute.segment;
    index_[execute.segment] = order_.begin();
  } else {
    order_.push_front({execute.segment, {}});
    index_[execute.segment] = order_.begin();
  }
  std::vector<uint64_t>& by_slot = order_.front().by_slot;
  if (execute.is_whole) by_slot.assign(segment.slots.size(), 0);
  if (by_slot.size() != segment.slots.size())
    return invalid("[execute] the segment's slots do not fit its last bindings");
  MOAI_RETURN_IF_ERROR(bind(segment, execute, by_slot));
  return &by_slot;
}

}  // namespace moai::engine
