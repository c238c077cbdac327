// Linear maps of the spatial axes: x of [planes, s1 .. sk], all in one dtype.
#pragma once
#include <span>

#include "src/lower/operands.h"

namespace moai::lower {

// [.., s1 .. sk] as [planes, s1 .. sk]; fails c for ranks other than k + 1 and k + 2.
Expr planes_of(OpContext& c, Expr x, int spatial);
// The last `spatial` sizes.
Shape plane_of(const Shape& s, int spatial);
// A matrix [out, in] for each spatial axis, first axis first: [planes, out1 .. outk].
Expr resample(Expr x, std::span<const Expr> matrices);
// The transpose of resample(): [planes, out1 ..] to [planes, in1 ..].
Expr resample_back(Expr x, std::span<const Expr> matrices);
// Row and column numbers of a matrix [n, m].
Expr row_number(OpContext& c, DType t, int64_t n, int64_t m);
Expr column_number(OpContext& c, DType t, int64_t n, int64_t m);

}  // namespace moai::lower
