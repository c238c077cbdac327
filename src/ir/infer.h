// Result types of a node from its operands: the one shape rule per primitive.
#pragma once
#include <span>
#include <vector>

#include "src/ir/graph.h"

namespace moai::ir {

// hint: dtype and/or shape where operands do not decide them (constant, iota, convert, bitcast,
// reshape, broadcast_in_dim, slice, rng_*, nonzero). Returns invalid_argument that begins with
// "[op]".
StatusOr<std::vector<Type>> infer(Prim op, const Attrs& attrs, std::span<const Type> operands,
                                  const Type& hint);

}  // namespace moai::ir
