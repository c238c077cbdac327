#include "src/ir/build.h"

#include <algorithm>

#include "src/ir/infer.h"
#include "src/ir/scalar.h"

namespace moai::ir {

const Type& Builder::type(ValueId v) const {
  static const Type kNone;
  return index_of(v) < graph_.value_count() ? graph_.type(v) : kNone;
}

ValueId Builder::add(Prim op, Attrs attrs, ValueList operands, Type hint) {
  if (!status_.ok()) return ValueId::none;
  StatusOr<ValueId> v = graph_.add_node(op, std::move(attrs), std::move(operands), hint, source_);
  if (v.ok()) return *v;
  status_ = v.status();
  return ValueId::none;
}

const ConstantAttrs* Builder::constant_of(ValueId v) const {
  if (index_of(v) >= graph_.value_count()) return nullptr;
  const Node* node = graph_.def(v);
  return node && node->op == Prim::constant ? &std::get<ConstantAttrs>(node->attrs) : nullptr;
}

ValueId Builder::moved(Prim op, Attrs attrs, ValueId a, const Shape& shape) {
  Type hint{dtype(a), shape};
  const ConstantAttrs* c = constant_of(a);
  if (!c || !status_.ok()) return add(op, std::move(attrs), {a}, hint);
  StatusOr<std::vector<Type>> result = infer(op, attrs, std::span(&type(a), 1), hint);
  if (result.ok()) return add(Prim::constant, ConstantAttrs(*c), {}, (*result)[0]);
  status_ = result.status();
  return ValueId::none;
}

ValueId Builder::unary(Prim op, ValueId a) { return add(op, NoAttrs{}, {a}); }
ValueId Builder::binary(Prim op, ValueId a, ValueId b) { return add(op, NoAttrs{}, {a, b}); }
ValueId Builder::select(ValueId cond, ValueId a, ValueId b) {
  return add(Prim::select, NoAttrs{}, {cond, a, b});
}
ValueId Builder::ternary(Prim op, ValueId a, ValueId b, ValueId c) {
  return add(op, NoAttrs{}, {a, b, c});
}

ValueId Builder::constant(double v, DType dtype, const Shape& shape) {
  ConstantAttrs a;
  if (is_float(dtype))
    a.f = round_to_real(v, dtype);
  else
    a.i = dtype == DType::boolean ? v != 0 : round_to_int(real_to_int(v), dtype);
  return add(Prim::constant, a, {}, {dtype, shape});
}
ValueId Builder::constant_int(int64_t v, DType dtype, const Shape& shape) {
  if (is_float(dtype)) return constant(static_cast<double>(v), dtype, shape);
  return add(Prim::constant, ConstantAttrs{0, round_to_int(v, dtype)}, {}, {dtype, shape});
}
ValueId Builder::iota(int axis, DType dtype, const Shape& shape) {
  return add(Prim::iota, AxisAttrs{axis}, {}, {dtype, shape});
}

ValueId Builder::convert(ValueId a, DType to) {
  if (!status_.ok() || dtype(a) == to) return a;
  if (const ConstantAttrs* c = constant_of(a); c && !is_complex(to)) {
    Shape s = shape(a);
    return is_float(dtype(a)) ? constant(c->f, to, s) : constant_int(c->i, to, s);
  }
  return add(Prim::convert, NoAttrs{}, {a}, {to, {}});
}
ValueId Builder::bitcast(ValueId a, DType to) {
  if (dtype(a) == to) return a;
  return add(Prim::bitcast, NoAttrs{}, {a}, {to, {}});
}

ValueId Builder::broadcast_in_dim(ValueId a, const Shape& to, const Shape& dims) {
  bool is_identity = shape(a) == to && dims.rank() == to.rank();
  for (int i = 0; is_identity && i < dims.rank(); i++) is_identity = dims[i] == i;
  if (is_identity) return a;
  return moved(Prim::broadcast_in_dim, DimsAttrs{dims}, a, to);
}
ValueId Builder::broadcast_to(ValueId a, const Shape& to) {
  Shape dims;
  int lead = to.rank() - shape(a).rank();
  for (int i = 0; i < shape(a).rank(); i++) dims.push_back(lead + i);
  return broadcast_in_dim(a, to, dims);
}
ValueId Builder::reshape(ValueId a, const Shape& to) {
  if (shape(a) == to) return a;
  return moved(Prim::reshape, NoAttrs{}, a, to);
}
ValueId Builder::transpose(ValueId a, const Shape& perm) {
  bool is_identity = perm.rank() == shape(a).rank();
  for (int i = 0; is_identity && i < perm.rank(); i++) is_identity = perm[i] == i;
  if (is_identity) return a;
  return moved(Prim::transpose, DimsAttrs{perm}, a, {});
}
ValueId Builder::slice(ValueId a, const Shape& start, const Shape& step, const Shape& sizes) {
  bool is_identity =
      sizes == shape(a) && start.rank() == sizes.rank() && step.rank() == sizes.rank();
  for (int i = 0; is_identity && i < sizes.rank(); i++)
    is_identity = start[i] == 0 && (step[i] == 1 || sizes[i] <= 1);
  if (is_identity) return a;
  return moved(Prim::slice, SliceAttrs{start, step}, a, sizes);
}
ValueId Builder::update_slice(ValueId base, ValueId update, const Shape& start, const Shape& step) {
  bool is_whole = type(base) == type(update) && start.rank() == shape(base).rank();
  for (int i = 0; is_whole && i < start.rank(); i++) is_whole = start[i] == 0 && step[i] == 1;
  if (is_whole) return update;
  return add(Prim::update_slice, SliceAttrs{start, step}, {base, update});
}
ValueId Builder::pad(ValueId a, ValueId value, const Shape& lo, const Shape& hi,
                     const Shape& interior) {
  auto is_zero = [&](const Shape& s) { return s == Shape::filled(shape(a).rank(), 0); };
  if (is_zero(lo) && is_zero(hi) && is_zero(interior)) return a;
  return add(Prim::pad, PadAttrs{lo, hi, interior}, {a, value});
}
ValueId Builder::concat(std::span<const ValueId> parts, int axis) {
  if (parts.size() == 1) return parts[0];
  return add(Prim::concat, AxisAttrs{axis}, {parts.begin(), parts.end()});
}
ValueId Builder::reverse(ValueId a, const Shape& axes) {
  if (axes.empty()) return a;
  return moved(Prim::reverse, DimsAttrs{axes}, a, {});
}

ValueId Builder::reduce(ReduceKind kind, ValueId a, const Shape& axes) {
  if (axes.empty()) return a;
  Shape sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  return add(Prim::reduce, ReduceAttrs{kind, sorted}, {a});
}
ValueId Builder::reduce_keep(ReduceKind kind, ValueId a, const Shape& axes) {
  Shape kept = shape(a);
  ValueId v = reduce(kind, a, axes);
  if (v == ValueId::none) return v;
  for (int64_t i : axes) kept[static_cast<int>(i)] = 1;
  return reshape(v, kept);
}
ValueId Builder::arg_reduce(ReduceKind kind, ValueId a, int axis) {
  return add(Prim::arg_reduce, ScanAttrs{kind, axis}, {a});
}
ValueId Builder::reduce_window(ValueId a, const WindowAttrs& attrs) {
  return add(Prim::reduce_window, attrs, {a});
}
std::pair<ValueId, ValueId> Builder::max_pool_idx(ValueId a, const WindowAttrs& attrs) {
  return two(add(Prim::max_pool_idx, attrs, {a}));
}
ValueId Builder::scan(ReduceKind kind, ValueId a, int axis) {
  return add(Prim::scan, ScanAttrs{kind, axis}, {a});
}
std::pair<ValueId, ValueId> Builder::scan_arg(ReduceKind kind, ValueId a, int axis) {
  return two(add(Prim::scan_arg, ScanAttrs{kind, axis}, {a}));
}

ValueId Builder::dot(ValueId a, ValueId b, const DotAttrs& attrs) {
  ValueId v = add(Prim::dot_general, attrs, {a, b});
  if (!status_.ok()) return v;
  bool is_empty = false;
  for (int64_t axis : attrs.contract_a) is_empty |= shape(a)[static_cast<int>(axis)] == 0;
  return is_empty ? constant(0, dtype(v), shape(v)) : v;
}
ValueId Builder::matmul(ValueId a, ValueId b) {
  int rank = shape(a).rank();
  if (!status_.ok()) return ValueId::none;
  if (rank < 2 || shape(b).rank() != rank) {
    fail(invalid("[dot_general] matmul takes two operands of one rank >= 2"));
    return ValueId::none;
  }
  DotAttrs d{{}, {}, {rank - 1}, {rank - 2}};
  for (int i = 0; i < rank - 2; i++) d.batch_a.push_back(i), d.batch_b.push_back(i);
  return dot(a, b, d);
}
ValueId Builder::conv(ValueId x, ValueId w, const ConvAttrs& attrs) {
  return add(Prim::conv, attrs, {x, w});
}
ValueId Builder::conv_wgrad(ValueId x, ValueId dy, const ConvAttrs& attrs,
                            const Shape& weight_shape) {
  ValueId v = add(Prim::conv_wgrad, attrs, {x, dy}, {dtype(x), weight_shape});
  return status_.ok() && shape(dy).numel() == 0 ? constant(0, dtype(v), shape(v)) : v;
}

ValueId Builder::gather(ValueId x, ValueId index, int axis, Bounds bounds) {
  return add(Prim::gather, IndexAttrs{axis, ScatterKind::set, bounds}, {x, index});
}
ValueId Builder::scatter(ScatterKind kind, ValueId base, ValueId index, ValueId update, int axis) {
  ValueId v = add(Prim::scatter, IndexAttrs{axis, kind, Bounds::error}, {base, index, update});
  return status_.ok() && shape(update).numel() == 0 ? base : v;
}
ValueId Builder::take_along(ValueId x, ValueId index, int axis) {
  return add(Prim::take_along, IndexAttrs{axis, ScatterKind::set, Bounds::error}, {x, index});
}
ValueId Builder::scatter_along(ScatterKind kind, ValueId base, ValueId index, ValueId update,
                               int axis) {
  ValueId v =
      add(Prim::scatter_along, IndexAttrs{axis, kind, Bounds::error}, {base, index, update});
  return status_.ok() && shape(update).numel() == 0 ? base : v;
}
std::pair<ValueId, ValueId> Builder::sort(ValueId x, int axis, bool descending) {
  return two(add(Prim::sort, SortAttrs{axis, 0, descending}, {x}));
}
std::pair<ValueId, ValueId> Builder::topk(ValueId x, int axis, int64_t k, bool largest) {
  return two(add(Prim::topk, SortAttrs{axis, k, largest}, {x}));
}
ValueId Builder::nonzero(ValueId x, int64_t size) {
  return add(Prim::nonzero, NoAttrs{}, {x}, {DType::i64, {size, shape(x).rank()}});
}

ValueId Builder::rng_uniform(ValueId key, ValueId offset, DType to, const Shape& s) {
  return add(Prim::rng_uniform, NoAttrs{}, {key, offset}, {to, s});
}
ValueId Builder::rng_bits(ValueId key, ValueId offset, const Shape& s) {
  return add(Prim::rng_bits, NoAttrs{}, {key, offset}, {DType::i64, s});
}
std::pair<ValueId, ValueId> Builder::sdpa(std::span<const ValueId> operands,
                                          const SdpaAttrs& attrs) {
  return two(add(Prim::sdpa, attrs, {operands.begin(), operands.end()}));
}
std::array<ValueId, 3> Builder::sdpa_bwd(std::span<const ValueId> operands,
                                         const SdpaAttrs& attrs) {
  ValueId dq = add(Prim::sdpa_bwd, attrs, {operands.begin(), operands.end()});
  if (dq == ValueId::none) return {dq, dq, dq};
  uint32_t first = static_cast<uint32_t>(dq);
  return {dq, ValueId{first + 1}, ValueId{first + 2}};
}

std::pair<ValueId, ValueId> Builder::two(ValueId first) {
  if (first == ValueId::none) return {first, first};
  return {first, ValueId{static_cast<uint32_t>(first) + 1}};
}

}  // namespace moai::ir
