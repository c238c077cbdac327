// Joins the Ops messages of the open segment.
#pragma once
#include <memory>

#include "src/wire/messages.h"

namespace moai::engine {

class Collector {
 public:
  // first_op 0 begins a segment anew.
  Status add(wire::Ops ops);
  // The segment that the Ops since the last cut form.
  std::unique_ptr<wire::Segment> finish(const SegmentId& id);

 private:
  wire::Segment open_;
};

}  // namespace moai::engine
