// Op stream -> SSA graph of primitives. Pure.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "src/ir/graph.h"
#include "src/wire/segment.h"

namespace moai::lower {

struct SupportedOp {
  std::string name;     // as in Segment::names
  uint32_t dtype_mask;  // dtypes of its first tensor operand
};
// Every row of the op map; sent to the client as OpTable.
std::vector<SupportedOp> supported_ops();

// live_out: slots whose contents matter afterwards (ascending). Bound slots that are written are
// outputs too only if they are in live_out. Requires: wire::verify(segment). Errors name op index,
// op and reason.
StatusOr<ir::Graph> lower(const wire::Segment& segment, std::span<const uint32_t> live_out);

}  // namespace moai::lower
