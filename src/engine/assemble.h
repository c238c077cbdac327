// Graph -> plan: canonicalize, fuse, emit, plan memory, and put the program together.
#pragma once
#include "sched/plan.h"
#include "src/ir/graph.h"

namespace moai::engine {

StatusOr<sched::Plan> assemble(const ir::Graph& graph);

}  // namespace moai::engine
