// Shape rules of the primitives that make and move elements.

#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

Types one(Type t) { return std::vector<Type>{t}; }

Types infer_iota(const Rule& r) {
  MOAI_RETURN_IF_ERROR(r.check_axis(r.get<AxisAttrs>()->axis, r.hint.shape.rank()));
  if (is_complex(r.hint.dtype) || r.hint.dtype == DType::boolean)
    return r.fail(std::string("counts in a number, not in ") + name_of(r.hint.dtype));
  return one(r.hint);
}

Types infer_convert(const Rule& r) {
  if (is_complex(r.in[0].dtype) || is_complex(r.hint.dtype))
    return r.fail("complex numbers have no conversion; bitcast them to pairs of floats");
  return one({r.hint.dtype, r.in[0].shape});
}

// The last dimension scales with the element size.
Types infer_bitcast(const Rule& r) {
  int64_t from = static_cast<int64_t>(size_of(r.in[0].dtype));
  int64_t to = static_cast<int64_t>(size_of(r.hint.dtype));
  Type result{r.hint.dtype, r.in[0].shape};
  if (from == to) return one(result);
  if (result.shape.empty()) return r.fail("a 0-dim value keeps its element size");
  int last = result.shape.rank() - 1;
  Checked bytes = Checked(result.shape[last]) * from;
  if (!bytes.ok() || bytes.value() % to)
    return r.fail("last dimension of " + to_text(r.in[0]) + " is no whole number of " +
                  name_of(r.hint.dtype));
  result.shape[last] = bytes.value() / to;
  return one(result);
}

Types infer_broadcast(const Rule& r) {
  const Shape& dims = r.get<DimsAttrs>()->dims;
  const Shape& from = r.in[0].shape;
  const Shape& to = r.hint.shape;
  if (dims.rank() != from.rank()) return r.fail("dims must name an axis for each operand axis");
  MOAI_RETURN_IF_ERROR(r.check_axes(dims, to.rank()));
  for (int i = 0; i < from.rank(); i++)
    if (from[i] != 1 && from[i] != to[static_cast<int>(dims[i])])
      return r.fail("size " + std::to_string(from[i]) + " of axis " + std::to_string(i) +
                    " does not broadcast to " + to_text(to));
  return one({r.in[0].dtype, to});
}

Types infer_reshape(const Rule& r) {
  Type result{r.in[0].dtype, r.hint.shape};
  if (!is_sound(result) || result.shape.numel() != r.in[0].shape.numel())
    return r.fail("element counts differ: " + to_text(r.in[0]) + " and " + to_text(r.hint.shape));
  return one(result);
}

Types infer_transpose(const Rule& r) {
  const Shape& perm = r.get<DimsAttrs>()->dims;
  const Shape& from = r.in[0].shape;
  if (perm.rank() != from.rank()) return r.fail("dims must be a permutation of the axes");
  MOAI_RETURN_IF_ERROR(r.check_axes(perm, from.rank()));
  Type result = r.in[0];
  for (int i = 0; i < from.rank(); i++) result.shape[i] = from[static_cast<int>(perm[i])];
  return one(result);
}

// Whether `count` elements from start with step lie in [0, size).
Status check_range(const Rule& r, const Shape& size, const Shape& count) {
  const SliceAttrs& a = *r.get<SliceAttrs>();
  int rank = size.rank();
  if (a.start.rank() != rank || a.step.rank() != rank || count.rank() != rank)
    return r.fail("start, step and sizes need one entry for each of " + std::to_string(rank) +
                  " axes");
  for (int i = 0; i < rank; i++) {
    if (a.start[i] < 0 || a.step[i] < 1 || count[i] < 0)
      return r.fail("start must be >= 0, step >= 1 and size >= 0 on axis " + std::to_string(i));
    Checked last = count[i] ? Checked(a.start[i]) + Checked(count[i] - 1) * a.step[i]
                            : Checked(a.start[i]) - 1;
    if (!last.ok() || last.value() >= size[i])
      return r.fail("reaches beyond " + to_text(size) + " on axis " + std::to_string(i));
  }
  return ok_status();
}

Types infer_slice(const Rule& r) {
  MOAI_RETURN_IF_ERROR(check_range(r, r.in[0].shape, r.hint.shape));
  return one({r.in[0].dtype, r.hint.shape});
}

Types infer_update_slice(const Rule& r) {
  MOAI_RETURN_IF_ERROR(r.check_same_dtype(0, 1));
  MOAI_RETURN_IF_ERROR(check_range(r, r.in[0].shape, r.in[1].shape));
  return one(r.in[0]);
}

Types infer_pad(const Rule& r) {
  const PadAttrs& a = *r.get<PadAttrs>();
  Type result = r.in[0];
  int rank = result.shape.rank();
  MOAI_RETURN_IF_ERROR(r.check_scalar(1, r.in[0].dtype));
  if (a.lo.rank() != rank || a.hi.rank() != rank || a.interior.rank() != rank)
    return r.fail("lo, hi and interior need one entry for each axis");
  for (int i = 0; i < rank; i++) {
    int64_t n = result.shape[i];
    if (a.interior[i] < 0) return r.fail("interior must be >= 0");
    Checked size = Checked(n) + Checked(n > 0 ? n - 1 : 0) * a.interior[i] + a.lo[i] + a.hi[i];
    if (!size.ok() || size.value() < 0)
      return r.fail("size of axis " + std::to_string(i) + " is negative or too large");
    result.shape[i] = size.value();
  }
  return one(result);
}

Types infer_concat(const Rule& r) {
  int64_t axis = r.get<AxisAttrs>()->axis;
  if (r.in.empty()) return r.fail("needs at least one operand");
  Type result = r.in[0];
  MOAI_RETURN_IF_ERROR(r.check_axis(axis, result.shape.rank()));
  int at = static_cast<int>(axis);
  Checked size = 0;
  for (size_t i = 0; i < r.in.size(); i++) {
    Type other = r.in[i];
    if (other.shape.rank() != result.shape.rank()) return r.fail("ranks differ");
    size = size + other.shape[at];
    other.shape[at] = r.in[0].shape[at];
    if (other != r.in[0])
      return r.fail("operands 0 and " + std::to_string(i) +
                    " differ outside the axis: " + to_text(r.in[0]) + " and " + to_text(r.in[i]));
  }
  if (!size.ok()) return r.fail("sizes overflow");
  result.shape[at] = size.value();
  return one(result);
}

}  // namespace

Types infer_data(const Rule& r) {
  if (!is_sound(r.hint)) return r.fail("shape " + to_text(r.hint) + " is negative or too large");
  switch (r.op) {
    case Prim::constant:
      if (is_complex(r.hint.dtype)) return r.fail("complex constants do not exist");
      return one(r.hint);
    case Prim::iota: return infer_iota(r);
    case Prim::convert: return infer_convert(r);
    case Prim::bitcast: return infer_bitcast(r);
    case Prim::broadcast_in_dim: return infer_broadcast(r);
    case Prim::reshape: return infer_reshape(r);
    case Prim::transpose: return infer_transpose(r);
    case Prim::slice: return infer_slice(r);
    case Prim::update_slice: return infer_update_slice(r);
    case Prim::pad: return infer_pad(r);
    case Prim::concat: return infer_concat(r);
    case Prim::reverse:
      MOAI_RETURN_IF_ERROR(r.check_axes(r.get<DimsAttrs>()->dims, r.in[0].shape.rank()));
      return one(r.in[0]);
    default: return r.fail("has no shape rule");
  }
}

}  // namespace moai::ir
