// Reduces in forms that one kernel does: over neighbouring axes, with work for several threads.
// Split by shape alone, so that sums do not depend on the machine.
#include <algorithm>
#include <limits>

#include "codegen/rewriter.h"

namespace moai::codegen {
namespace {

using ir::Type;
using ir::ValueId;

constexpr int64_t kFewRows = 16;  // rows up to which a long row is cut in parts
constexpr int64_t kLongRow = 64 * 1024;
constexpr int64_t kPartMin = 1024, kPartMax = 16 * 1024;

ValueId identity_of(Rewriter& r, ReduceKind kind, const Type& t) {
  double inf = std::numeric_limits<double>::infinity();
  ConstantAttrs a;
  bool real = is_float(t.dtype);
  auto limit = [&](bool low) -> int64_t {
    switch (t.dtype) {
      case DType::i64: return low ? INT64_MIN : INT64_MAX;
      case DType::i32: return low ? INT32_MIN : INT32_MAX;
      case DType::i16: return low ? INT16_MIN : INT16_MAX;
      case DType::i8: return low ? INT8_MIN : INT8_MAX;
      case DType::u8: return low ? 0 : UINT8_MAX;
      default: return low ? 0 : 1;
    }
  };
  switch (kind) {
    case ReduceKind::sum:
    case ReduceKind::any: break;
    case ReduceKind::prod:
    case ReduceKind::all: a.f = 1, a.i = 1; break;
    case ReduceKind::max: real ? a.f = -inf : static_cast<double>(a.i = limit(true)); break;
    case ReduceKind::min: real ? a.f = inf : static_cast<double>(a.i = limit(false)); break;
    case ReduceKind::logsumexp: a.f = -inf; break;
  }
  if (real)
    a.i = 0;
  else
    a.f = 0;
  return r.constant(a, t);
}

// m + log sum exp(x - m), with m 0 where the maximum is not finite.
ValueId expand_logsumexp(Rewriter& r, ValueId x, const Shape& axes, const Type& result) {
  ValueId m = r.reduce(ReduceKind::max, x, axes);
  ValueId zero = r.number(0, r.type(m));
  ValueId base =
      r.add(Prim::select, NoAttrs{}, {r.pointwise(Prim::is_finite, {m}), m, zero}, {r.type(m)});
  Shape dims;
  for (int d = 0; d < r.shape(x).rank(); d++)
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) dims.push_back(d);
  ValueId e =
      r.pointwise(Prim::exp, {r.pointwise(Prim::sub, {x, r.broadcast(base, r.shape(x), dims)})});
  ValueId sum = r.reduce(ReduceKind::sum, e, axes);
  return r.add(Prim::add, NoAttrs{}, {base, r.pointwise(Prim::log, {sum})}, {result});
}

// Axes that are reduced and not of size 1, in runs of neighbours (axes of size 1 between them do
// not count).
std::vector<Shape> runs_of(const Shape& shape, const Shape& axes) {
  std::vector<Shape> runs;
  bool is_open = false;
  for (int d = 0; d < shape.rank(); d++) {
    if (shape[d] == 1) continue;
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) {
      is_open = false;
      continue;
    }
    if (!is_open) runs.emplace_back();
    is_open = true;
    runs.back().push_back(d);
  }
  return runs;
}

int64_t part_of(int64_t size) {
  for (int64_t part = kPartMax; part >= kPartMin; part /= 2)
    if (size % part == 0) return part;
  for (int64_t part = kPartMax; part >= kPartMin; part--)
    if (size % part == 0) return part;
  return 0;
}

// In several steps, with sums of narrow floats kept in f32 between them.
class Steps {
 public:
  Steps(Rewriter& r, ReduceKind kind, ValueId v) : r_(r), kind_(kind), v_(v), dtype_(r.dtype(v)) {
    bool is_sum = kind == ReduceKind::sum || kind == ReduceKind::prod;
    if (is_sum && (dtype_ == DType::f16 || dtype_ == DType::bf16)) v_ = r.convert(v_, DType::f32);
  }
  void reduce(const Shape& axes) { v_ = r_.reduce(kind_, v_, axes); }
  void reshape(const Shape& s) { v_ = r_.reshape(v_, s); }
  ValueId finish(const Shape& s) { return r_.reshape(r_.convert(v_, dtype_), s); }
  const Shape& shape() const { return r_.shape(v_); }

 private:
  Rewriter& r_;
  ReduceKind kind_;
  ValueId v_;
  DType dtype_;
};

ValueId reduce_runs(Rewriter& r, ReduceKind kind, ValueId v, const std::vector<Shape>& runs,
                    const Shape& result) {
  Steps steps(r, kind, v);
  for (size_t i = runs.size(); i-- > 0;) steps.reduce(runs[i]);
  return steps.finish(result);
}

// reduce(transpose x) = transpose(reduce x): the order in memory decides between rows and columns.
ValueId below_transpose(Rewriter& r, ReduceKind kind, const ir::Node& transpose, const Shape& axes,
                        const Type& result) {
  const Shape& dims = std::get<DimsAttrs>(transpose.attrs).dims;
  Shape below, kept;  // operand axes that are reduced; those that stay, in the result's order
  for (int d = 0; d < dims.rank(); d++) {
    bool is_reduced = std::find(axes.begin(), axes.end(), d) != axes.end();
    (is_reduced ? below : kept).push_back(dims[d]);
  }
  std::sort(below.begin(), below.end());
  Shape order = kept;
  for (int i = 0; i < kept.rank(); i++)
    order[i] =
        std::count_if(kept.begin(), kept.end(), [&](int64_t other) { return other < kept[i]; });
  ir::Node node{
      Prim::reduce, ReduceAttrs{kind, below}, {transpose.operands[0]}, {}, transpose.source};
  Shape shape;
  for (int d = 0; d < r.shape(transpose.operands[0]).rank(); d++)
    if (std::find(below.begin(), below.end(), d) == below.end())
      shape.push_back(r.shape(transpose.operands[0])[d]);
  Type type{result.dtype, shape};
  ValueId v = simplify_reduce(r, node, type);
  if (v == ValueId::none) v = r.reduce(kind, transpose.operands[0], below);
  return r.transpose(v, order);
}

}  // namespace

ValueId simplify_reduce(Rewriter& r, const ir::Node& n, const Type& result) {
  const ReduceAttrs attrs = std::get<ReduceAttrs>(n.attrs);
  ValueId v = n.operands[0];
  const Shape shape = r.shape(v);
  if (result.shape.numel() == 0) return ValueId::none;
  if (shape.numel() == 0) return identity_of(r, attrs.kind, result);
  if (attrs.kind == ReduceKind::logsumexp) {
    ValueId x = expand_logsumexp(r, v, attrs.axes, result);
    // Its own reduces may need steps too, which the next pass over the new nodes makes.
    return x;
  }
  std::vector<Shape> runs = runs_of(shape, attrs.axes);
  if (runs.empty()) return r.reshape(v, result.shape);
  if (const ir::Node* d = r.def(v); d && d->op == Prim::transpose)
    return below_transpose(r, attrs.kind, ir::Node(*d), attrs.axes, result);
  if (runs.size() > 1) return reduce_runs(r, attrs.kind, v, runs, result.shape);
  int64_t reduced = 1;
  for (int64_t d : runs[0]) reduced *= shape[static_cast<int>(d)];
  int64_t inner = 1;
  for (int d = static_cast<int>(runs[0].back()) + 1; d < shape.rank(); d++) inner *= shape[d];
  int64_t rows = shape.numel() / reduced;
  int64_t part = inner == 1 && reduced >= kLongRow && rows <= kFewRows ? part_of(reduced) : 0;
  if (part == 0 || part == reduced) return ValueId::none;
  Steps steps(r, attrs.kind, v);
  steps.reshape(Shape{rows, reduced / part, part});
  steps.reduce(Shape{2});
  steps.reduce(Shape{1});
  return steps.finish(result.shape);
}

}  // namespace moai::codegen
