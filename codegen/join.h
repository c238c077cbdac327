// Values laid one after the other, where they often lie already.
#pragma once
#include <vector>

#include "codegen/rewriter.h"

namespace moai::codegen {

// The parts along `axis`, all of one type but for it: a concat, or the value that they are
// consecutive slices of.
ir::ValueId join(Rewriter&, const std::vector<ir::ValueId>& parts, int axis);

}  // namespace moai::codegen
