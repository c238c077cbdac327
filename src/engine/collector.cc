#include "src/engine/collector.h"

#include <iterator>
#include <string>
#include <utility>

#include "moai/limits.h"

namespace moai::engine {

namespace {

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  if (to.empty())
    to = std::move(from);
  else
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

Status Collector::add(wire::Ops ops) {
  if (ops.first_op == 0) open_ = {};
  if (ops.first_op != open_.op_count())
    return invalid("[ops] rows from " + std::to_string(ops.first_op) +
                   " came, but the segment has " + std::to_string(open_.op_count()));
  wire::Segment& part = ops.part;
  if (open_.op_count() + part.op_count() > kSegmentOpsMax ||
      open_.words.size() + part.words.size() > kSegmentArgsMax ||
      open_.slots.size() + part.slots.size() > kSegmentSlotsMax ||
      open_.views.size() + part.views.size() > kSegmentViewsMax)
    return invalid("[ops] the segment passes its limits; cut it earlier");
  append(open_.names, part.names);
  append(open_.texts, part.texts);
  append(open_.slots, part.slots);
  append(open_.views, part.views);
  append(open_.op_name, part.op_name);
  append(open_.op_end, part.op_end);
  append(open_.words, part.words);
  open_.scalar_count = part.scalar_count;
  return ok_status();
}

std::unique_ptr<wire::Segment> Collector::finish(const SegmentId& id) {
  auto segment = std::make_unique<wire::Segment>(std::exchange(open_, {}));
  segment->id = id;
  return segment;
}

}  // namespace moai::engine
