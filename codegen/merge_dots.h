// Products of an unrolled loop made one: a recurrent network multiplies the same weights once a
// time step.
#pragma once
#include <optional>

#include "src/ir/graph.h"

namespace moai::codegen {

// Two rewrites, on products of few rows only:
// * x1 W, x2 W, ... that do not wait for each other become slices of [x1; x2; ...] W,
// * x1' y1 + x2' y2 + ... becomes [x1; x2; ...]' [y1; y2; ...], and sums of columns of the same x
// alike. The second adds in another order, the same one for the same graph; products of a narrow
// type that are widened to be added are then rounded once. Requires: canonicalized. Nothing where
// it finds none.
std::optional<ir::Graph> merge_dots(const ir::Graph&);

}  // namespace moai::codegen
