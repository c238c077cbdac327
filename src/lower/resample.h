// Linear maps of the two spatial axes: x of [planes, h, w], all in one dtype.
#pragma once
#include "src/lower/operands.h"

namespace moai::lower {

// [.., h, w] as [planes, h, w]; fails c for other ranks than 3 and 4.
Expr planes_of(OpContext& c, Expr x);
// The shape of x with other spatial sizes.
Shape with_plane(const Shape& x, int64_t h, int64_t w);
// rows [h', h] and columns [w', w] applied to both axes: [planes, h', w'].
Expr resample(Expr x, Expr rows, Expr columns);
// The transpose of resample(): [planes, h', w'] to [planes, h, w].
Expr resample_back(Expr x, Expr rows, Expr columns);
// Column and row numbers of a matrix [n, m].
Expr row_number(OpContext& c, DType t, int64_t n, int64_t m);
Expr column_number(OpContext& c, DType t, int64_t n, int64_t m);

}  // namespace moai::lower
