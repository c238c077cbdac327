// Typed construction of a graph: what lowerings and tests call. Folds what costs nothing to fold
// (identity reshape, transpose, convert, slice, broadcast of equal shape; a product over nothing, a
// scatter of nothing). The first failure is kept in status() and later calls return ValueId::none,
// so a lowering checks once.
#pragma once
#include <array>
#include <span>
#include <utility>

#include "src/ir/graph.h"

namespace moai::ir {

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}
  const Status& status() const { return status_; }
  void fail(Status s) {
    if (status_.ok()) status_ = std::move(s);
  }
  void set_source(uint32_t op_index) { source_ = op_index; }
  const Type& type(ValueId v) const;
  DType dtype(ValueId v) const { return type(v).dtype; }
  const Shape& shape(ValueId v) const { return type(v).shape; }
  Graph& graph() { return graph_; }

  // Pointwise: operands of equal shape and dtype (select: bool first; comparisons give bool).
  ValueId unary(Prim op, ValueId a);
  ValueId binary(Prim op, ValueId a, ValueId b);
  ValueId select(ValueId cond, ValueId a, ValueId b);
  ValueId ternary(Prim op, ValueId a, ValueId b, ValueId c);

  ValueId constant(double v, DType dtype, const Shape& shape = {});  // real or integer value
  ValueId constant_int(int64_t v, DType dtype, const Shape& shape = {});
  ValueId iota(int axis, DType dtype, const Shape& shape);
  ValueId convert(ValueId a, DType dtype);
  ValueId bitcast(ValueId a, DType dtype);
  // dims[i]: axis of the result that operand axis i becomes; operand sizes are 1 or equal.
  ValueId broadcast_in_dim(ValueId a, const Shape& shape, const Shape& dims);
  ValueId broadcast_to(ValueId a, const Shape& shape);  // NumPy's rule: trailing axes align
  ValueId reshape(ValueId a, const Shape& shape);
  ValueId transpose(ValueId a, const Shape& perm);
  ValueId slice(ValueId a, const Shape& start, const Shape& step, const Shape& sizes);
  ValueId update_slice(ValueId base, ValueId update, const Shape& start, const Shape& step);
  ValueId pad(ValueId a, ValueId value, const Shape& lo, const Shape& hi, const Shape& interior);
  ValueId concat(std::span<const ValueId> parts, int axis);
  ValueId reverse(ValueId a, const Shape& axes);

  ValueId reduce(ReduceKind kind, ValueId a, const Shape& axes);       // axes dropped
  ValueId reduce_keep(ReduceKind kind, ValueId a, const Shape& axes);  // axes kept with size 1
  ValueId arg_reduce(ReduceKind kind, ValueId a, int axis);
  ValueId reduce_window(ValueId a, const WindowAttrs& attrs);
  std::pair<ValueId, ValueId> max_pool_idx(ValueId a, const WindowAttrs& attrs);
  ValueId scan(ReduceKind kind, ValueId a, int axis);
  std::pair<ValueId, ValueId> scan_arg(ReduceKind kind, ValueId a, int axis);
  ValueId dot(ValueId a, ValueId b, const DotAttrs& attrs);
  ValueId matmul(ValueId a, ValueId b);  // [.., m, k] x [.., k, n], equal batch sizes
  ValueId conv(ValueId x, ValueId w, const ConvAttrs& attrs);
  ValueId conv_wgrad(ValueId x, ValueId dy, const ConvAttrs& attrs, const Shape& weight_shape);
  ValueId gather(ValueId x, ValueId index, int axis, Bounds bounds = Bounds::error);
  ValueId scatter(ScatterKind kind, ValueId base, ValueId index, ValueId update, int axis);
  ValueId take_along(ValueId x, ValueId index, int axis);
  ValueId scatter_along(ScatterKind kind, ValueId base, ValueId index, ValueId update, int axis);
  std::pair<ValueId, ValueId> sort(ValueId x, int axis, bool descending);
  std::pair<ValueId, ValueId> topk(ValueId x, int axis, int64_t k, bool largest);
  ValueId nonzero(ValueId x, int64_t size);
  ValueId rng_uniform(ValueId key, ValueId offset, DType dtype, const Shape& shape);
  ValueId rng_bits(ValueId key, ValueId offset, const Shape& shape);
  std::pair<ValueId, ValueId> sdpa(std::span<const ValueId> operands, const SdpaAttrs& attrs);
  std::array<ValueId, 3> sdpa_bwd(std::span<const ValueId> operands, const SdpaAttrs& attrs);

 private:
  ValueId add(Prim op, Attrs attrs, ValueList operands, Type hint = {});
  // A node that moves elements; of a constant it is a constant of the new shape.
  ValueId moved(Prim op, Attrs attrs, ValueId a, const Shape& shape);
  const ConstantAttrs* constant_of(ValueId v) const;
  static std::pair<ValueId, ValueId> two(ValueId first);
  Graph& graph_;
  Status status_;
  uint32_t source_ = UINT32_MAX;
};

}  // namespace moai::ir
