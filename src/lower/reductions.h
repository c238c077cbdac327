// Reductions that several families use.
#pragma once
#include "src/lower/operands.h"

namespace moai::lower {

// axes ascending; keep: they stay with size 1.
Expr reduce(Expr x, ReduceKind kind, const Shape& axes, bool keep);
Expr arg_reduce(Expr x, ReduceKind kind, int axis, bool keep);  // i64
// The p-norm over axes; p may be a lifted number.
Expr norm_of(OpContext& c, Expr x, const Operand& p, const Shape& axes, bool keep);
// A number that the op implies.
Operand whole_number(int64_t v);

}  // namespace moai::lower
