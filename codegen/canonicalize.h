// The passes before fusion. Pure: graph in, graph out.
#pragma once
#include "src/ir/graph.h"

namespace moai::codegen {

// Dead code, common subexpressions, constant folding, fma, reduces in rows and columns, products of
// unrolled loops made one. Same meaning, and the same bits in every tier.
ir::Graph canonicalize(const ir::Graph&);

}  // namespace moai::codegen
