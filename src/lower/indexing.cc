#include "src/lower/indexing.h"

#include <cmath>
#include <limits>
#include <string>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

Expr along(ScatterKind kind, Expr base, Expr index, Expr update, int axis) {
  return {base.b, base.b->scatter_along(kind, base.v, index.v, update.v, axis)};
}

ScatterKind kind_for(ScatterKind kind, DType t) {
  return kind == ScatterKind::add && t == DType::boolean ? ScatterKind::max : kind;
}

// What a reduction starts from where the old value does not take part.
Expr identity(Expr like, ScatterKind kind) {
  if (kind == ScatterKind::mul) return like.constant(1);
  if (kind == ScatterKind::add) return like.constant(0);
  const bool is_max = kind == ScatterKind::max;
  if (is_float(like.dtype())) return like.constant(is_max ? -HUGE_VAL : HUGE_VAL);
  const bool is_unsigned = like.dtype() == DType::u8 || like.dtype() == DType::boolean;
  const int bits = static_cast<int>(size_of(like.dtype())) * 8 - (is_unsigned ? 0 : 1);
  const int64_t most = bits == 63 ? INT64_MAX : (int64_t{1} << bits) - 1;
  const int64_t least = is_unsigned ? 0 : -most - 1;
  return {like.b, like.b->constant_int(is_max ? least : most, like.dtype(), like.shape())};
}

Expr mean_of(Expr base, Expr index, Expr source, int axis, bool include_self) {
  Expr sum = along(ScatterKind::add, base, index, source, axis);
  Expr count =
      along(ScatterKind::add, base.constant(include_self ? 1 : 0), index, source.constant(1), axis);
  count = maximum(count, 1);
  return is_float(sum.dtype()) ? sum / count : floor_divide_of(sum, count);
}

}  // namespace

Indexed read_indexed(OpContext& c) {
  Indexed x;
  x.base = {&c.b, c.read_next()};
  x.shape = x.base.shape();
  x.axis = axis_of(c, c.args.integer_or(0), x.shape.rank());
  if (x.shape.rank() == 0) x.base = x.base.reshape({1});
  return x;
}

Expr Indexed::ranked(OpContext& c, ir::ValueId v) const {
  Expr e{&c.b, v};
  if (e.rank() == 0) return e.reshape(Shape::filled(base.rank(), 1));
  if (e.rank() != base.rank())
    c.fail(invalid("its index or source has another rank than the tensor"));
  return e;
}

Shape Indexed::covered(OpContext& c, const Shape& index) const {
  Shape size = index;
  for (int i = 0; i < size.rank() && i < base.rank(); i++) {
    if (i == axis)
      size[i] = base.shape()[i];
    else if (size[i] > base.shape()[i])
      c.fail(invalid("its index is larger than the tensor"));
  }
  return size;
}

Expr as_list(ir::ValueId index, OpContext& c) {
  Expr e{&c.b, index};
  if (e.rank() > 1) c.fail(invalid("its index must be a vector"));
  return e.reshape({e.shape().numel()});
}

Expr wrap(Expr index, int64_t size) {
  return select(index < 0, index + static_cast<double>(size), index);
}

Expr scatter(ScatterKind kind, Expr base, Expr index, Expr update, int axis) {
  return {base.b, base.b->scatter(kind_for(kind, base.dtype()), base.v, index.v, update.v, axis)};
}

Expr scatter_reduce(OpContext& c, Expr base, Expr index, Expr source, int axis,
                    std::string_view kind, bool include_self) {
  if (kind == "set") return along(ScatterKind::set, base, index, source, axis);
  const bool is_mean = kind == "mean";
  ScatterKind by = ScatterKind::add;
  if (kind == "prod")
    by = ScatterKind::mul;
  else if (kind == "amax")
    by = ScatterKind::max;
  else if (kind == "amin")
    by = ScatterKind::min;
  else if (kind != "sum" && !is_mean) {
    c.fail(invalid("does not know the reduction " + std::string(kind)));
    return base;
  }
  if (!include_self) base = along(ScatterKind::set, base, index, identity(source, by), axis);
  if (is_mean) return mean_of(base, index, source, axis, include_self);
  return along(kind_for(by, base.dtype()), base, index, source, axis);
}

}  // namespace moai::lower
