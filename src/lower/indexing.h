// Indexing along one axis: what gather, scatter and their relatives share.
#pragma once
#include <string_view>

#include "src/lower/operands.h"

namespace moai::lower {

// self and dim; a 0-dim self is a vector of one.
struct Indexed {
  Expr base;
  int axis = 0;
  Shape shape;  // of self as it came

  // A tensor of the same rank as base.
  Expr ranked(OpContext& c, ir::ValueId v) const;
  // A source tensor in base's dtype.
  Expr like(OpContext& c, ir::ValueId v) const { return ranked(c, cast(c.b, v, base.dtype())); }
  // The corner of base that an index of this shape reaches: its sizes, but base's along the axis.
  Shape covered(OpContext& c, const Shape& index) const;
  void finish(OpContext& c, Expr result) const { c.finish(result.reshape(shape).v); }
};
Indexed read_indexed(OpContext& c);

// A 0-dim or 1-dim index as vector.
Expr as_list(ir::ValueId index, OpContext& c);
// Negative indices count from the end. What is out of range stays out of range.
Expr wrap(Expr index, int64_t size);
// bool adds as or.
Expr scatter(ScatterKind kind, Expr base, Expr index, Expr update, int axis);
// kind: set sum prod mean amax amin. index and source have one shape, base's outside the axis.
Expr scatter_reduce(OpContext& c, Expr base, Expr index, Expr source, int axis,
                    std::string_view kind, bool include_self);

}  // namespace moai::lower
