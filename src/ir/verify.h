// What every graph between passes satisfies.
#pragma once
#include "src/ir/graph.h"

namespace moai::ir {

// Operands are defined before use, types are what infer() says, outputs exist, slots are written
// once.
Status verify(const Graph&);

}  // namespace moai::ir
