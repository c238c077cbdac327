// Ops that join, repeat or move elements, and the gradients of views.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "src/lower/operands.h"
#include "src/lower/views.h"

namespace moai::lower {
namespace {

using ir::ValueId;

Shape ones(int rank) { return Shape::filled(rank, 1); }
Shape zeros(int rank) { return Shape::filled(rank, 0); }

void lower_cat(OpContext& c) {  // tensors, dim
  std::vector<ValueId> parts;
  const DType t = c.output_dtype();
  const int rank = c.output_shape().rank();
  for (ValueId v : c.read_list()) {
    const Shape& s = c.b.shape(v);
    // PyTorch lets an empty vector stand among tensors of any rank.
    if (s.rank() == 1 && s[0] == 0 && rank != 1) continue;
    parts.push_back(cast(c.b, v, t));
  }
  if (parts.empty()) return c.finish(c.b.constant(0, t, c.output_shape()));
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(0) : 0, rank);
  c.finish(c.b.concat(parts, axis));
}

void lower_stack(OpContext& c) {  // tensors, dim
  std::vector<ValueId> parts;
  const DType t = c.output_dtype();
  const int rank = c.output_shape().rank();
  std::vector<ValueId> tensors = c.read_list();
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(0) : 0, rank);
  for (ValueId v : tensors) {
    Shape s = c.b.shape(v);
    if (s.rank() + 1 != rank)
      return c.fail(invalid("stacks tensors of another rank than its output"));
    s.insert(axis, 1);
    parts.push_back(c.b.reshape(cast(c.b, v, t), s));
  }
  if (parts.empty()) return c.fail(invalid("stacks an empty list"));
  c.finish(c.b.concat(parts, axis));
}

void lower_flip(OpContext& c) {  // self, dims
  ValueId x = c.read_next();
  auto dims = c.args.integers();
  if (!dims || dims->empty() || c.b.shape(x).rank() == 0) return c.finish(x);
  c.finish(c.b.reverse(x, axes_of(c, dims, c.b.shape(x).rank())));
}

ValueId rolled(OpContext& c, ValueId x, int64_t shift, int axis) {
  Shape size = c.b.shape(x), start = zeros(size.rank());
  const int64_t n = size[axis];
  if (n == 0) return x;
  const int64_t moved = ((shift % n) + n) % n;  // elements that come from the end
  if (moved == 0) return x;
  size[axis] = n - moved;
  ValueId head = c.b.slice(x, start, ones(size.rank()), size);
  start[axis] = n - moved;
  size[axis] = moved;
  const ValueId parts[] = {c.b.slice(x, start, ones(size.rank()), size), head};
  return c.b.concat(parts, axis);
}

void lower_roll(OpContext& c) {  // self, shifts, dims
  ValueId x = c.read_next();
  auto shifts = c.args.integers().value_or(std::vector<int64_t>{});
  std::vector<int64_t> dims;
  if (c.has_more()) dims = c.args.integers().value_or(dims);
  Shape shape = c.b.shape(x);
  if (dims.empty() && shifts.size() == 1)
    return c.finish(c.b.reshape(rolled(c, c.b.reshape(x, {shape.numel()}), shifts[0], 0), shape));
  if (dims.size() != shifts.size() || shape.rank() == 0)
    return c.fail(invalid("needs one shift for each dimension"));
  for (size_t i = 0; i < dims.size() && c.b.status().ok(); i++)
    x = rolled(c, x, shifts[i], axis_of(c, dims[i], shape.rank()));
  c.finish(x);
}

void lower_repeat(OpContext& c) {  // self, repeats
  ValueId x = c.read_next();
  auto list = c.args.integers().value_or(std::vector<int64_t>{});
  Shape repeats = shape_of(c, list), shape = c.b.shape(x);
  if (repeats.rank() < shape.rank()) return c.fail(invalid("needs one count for each dimension"));
  while (shape.rank() < repeats.rank()) shape.insert(0, 1);
  x = c.b.reshape(x, shape);
  for (int i = 0; i < shape.rank() && c.b.status().ok(); i++) {
    if (repeats[i] == 1) continue;
    if (repeats[i] < 0) return c.fail(invalid("counts must not be negative"));
    // The dimensions before and after it as one each: a tensor of the largest rank has none to
    // spare.
    int64_t before = 1, after = 1;
    for (int d = 0; d < i; d++) before *= shape[d];
    for (int d = i + 1; d < shape.rank(); d++) after *= shape[d];
    x = c.b.reshape(x, {before, shape[i], after});
    x = c.b.broadcast_in_dim(x, {before, repeats[i], shape[i], after}, {0, 2, 3});
    shape[i] *= repeats[i];
    x = c.b.reshape(x, shape);
  }
  c.finish(x);
}

// A view that autograd may not know as one: the client allocates its result.
void lower_unsafe_view(OpContext& c) { c.finish(c.b.reshape(c.read_next(), c.output_shape())); }

void lower_unsafe_split(OpContext& c) {  // self, size or sizes, dim
  ValueId x = c.read_next();
  Shape shape = c.b.shape(x);
  if (c.args.peek() == wire::Tag::integer_list)
    c.args.integers();
  else
    c.args.integer();
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(0) : 0, shape.rank());
  Shape start = zeros(shape.rank());
  std::vector<ValueId> parts;
  for (size_t i = 0; i < c.outputs().size() && c.b.status().ok(); i++) {
    const Shape& size = c.output_shape(i);
    parts.push_back(c.b.slice(x, start, ones(shape.rank()), size));
    if (c.b.status().ok() && shape.rank() > 0) start[axis] += size[axis];
  }
  if (c.b.status().ok()) c.finish(parts);
}

// -- gradients of views: the gradient amid zeros

struct Grown {
  ValueId grad;
  Shape sizes;
  int axis = 0;
};

Grown read_grown(OpContext& c) {  // grad, input_sizes, dim
  Grown g{c.read_next(), {}, 0};
  g.sizes = shape_of(c, c.args.integers().value_or(std::vector<int64_t>{}));
  g.axis = axis_of(c, c.args.integer_or(0), g.sizes.rank());
  if (g.sizes.rank() == 0) c.fail(invalid("needs a tensor of one dimension or more"));
  return g;
}

int64_t wrapped(int64_t i, int64_t n) { return i < 0 ? i + n : i; }

ValueId amid_zeros(OpContext& c, const Grown& g, int64_t before, int64_t step) {
  const int64_t count = c.b.shape(g.grad)[g.axis], n = g.sizes[g.axis];
  if (count == 0) return c.b.constant(0, c.b.dtype(g.grad), g.sizes);
  Shape lo = zeros(g.sizes.rank()), hi = lo, interior = lo;
  lo[g.axis] = before;
  interior[g.axis] = step - 1;
  hi[g.axis] = n - before - ((count - 1) * step + 1);
  return c.b.pad(g.grad, c.b.constant(0, c.b.dtype(g.grad)), lo, hi, interior);
}

void lower_select_backward(OpContext& c) {  // grad, input_sizes, dim, index
  Grown g = read_grown(c);
  if (!c.b.status().ok()) return;
  const int64_t index = wrapped(c.args.integer_or(0), g.sizes[g.axis]);
  if (index < 0 || index >= g.sizes[g.axis]) return c.fail(invalid("its index is out of range"));
  Shape with_axis = g.sizes;
  with_axis[g.axis] = 1;
  g.grad = c.b.reshape(g.grad, with_axis);
  if (c.b.status().ok()) c.finish(amid_zeros(c, g, index, 1));
}

void lower_slice_backward(OpContext& c) {  // grad, input_sizes, dim, start, end, step
  Grown g = read_grown(c);
  if (!c.b.status().ok()) return;
  const int64_t n = g.sizes[g.axis];
  const int64_t start = std::clamp(wrapped(c.args.integer_or(0), n), int64_t{0}, n);
  c.args.integer();  // end: the gradient's size says it
  const int64_t step = std::min(c.args.integer_or(1), std::max<int64_t>(n, 1));
  if (step < 1 || c.b.shape(g.grad).rank() != g.sizes.rank())
    return c.fail(invalid("needs a step of 1 or more and a gradient of the input's rank"));
  c.finish(amid_zeros(c, g, start, step));
}

// base with `update` stored through a view of it.
ValueId stored(OpContext& c, ValueId base, ValueId update, wire::View view) {
  Shape shape = c.b.shape(base);
  view.dtype = c.b.dtype(base);
  int64_t last = view.offset;
  bool fits = view.offset >= 0 && c.b.shape(update) == view.sizes;
  for (int i = 0; i < view.sizes.rank() && fits; i++) {
    int64_t extent = 0;
    fits = !__builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &extent) &&
           !__builtin_add_overflow(last, extent, &last);
  }
  fits = fits && (view.sizes.numel() == 0 || last < shape.numel());
  if (!fits) {
    c.fail(invalid("its source does not fit the view that it replaces"));
    return base;
  }
  if (overlaps(view)) {
    c.fail(invalid("the view shows an element twice"));
    return base;
  }
  Contents now{base, view.dtype, shape, contiguous_strides(shape)};
  Contents then = write_view(c.b, now, view, cast(c.b, update, view.dtype));
  return c.b.reshape(memory_order(c.b, then), shape);
}

constexpr int64_t kOffsetMax = int64_t{1} << 46;

wire::View diagonal_of(OpContext& c, const Shape& shape, int64_t offset, int d1, int d2) {
  wire::View v;
  Shape strides = contiguous_strides(shape);
  if (std::abs(offset) > kOffsetMax) {
    c.fail(invalid("its offset is out of range"));
    return v;
  }
  if (d1 == d2 || shape.rank() < 2) {
    c.fail(invalid("a diagonal needs two different dimensions"));
    return v;
  }
  const int64_t rows = shape[d1] + std::min<int64_t>(offset, 0);
  const int64_t columns = shape[d2] - std::max<int64_t>(offset, 0);
  v.offset = offset < 0 ? -offset * strides[d1] : offset * strides[d2];
  for (int i = 0; i < shape.rank(); i++) {
    if (i == d1 || i == d2) continue;
    v.sizes.push_back(shape[i]);
    v.strides.push_back(strides[i]);
  }
  v.sizes.push_back(std::max<int64_t>(0, std::min(rows, columns)));
  v.strides.push_back(strides[d1] + strides[d2]);
  return v;
}

void lower_diagonal_backward(OpContext& c) {  // grad, input_sizes, offset, dim1, dim2
  ValueId grad = c.read_next();
  Shape sizes = shape_of(c, c.args.integers().value_or(std::vector<int64_t>{}));
  const int64_t offset = c.args.integer_or(0);
  const int d1 = axis_of(c, c.args.integer_or(0), sizes.rank());
  const int d2 = axis_of(c, c.args.integer_or(1), sizes.rank());
  wire::View v = diagonal_of(c, sizes, offset, d1, d2);
  if (!c.b.status().ok()) return;
  c.finish(stored(c, c.b.constant(0, c.b.dtype(grad), sizes), grad, v));
}

void lower_diagonal_scatter(OpContext& c) {  // self, src, offset, dim1, dim2
  ValueId x = c.read_next(), src = c.read_next();
  Shape sizes = c.b.shape(x);
  const int64_t offset = c.args.integer_or(0);
  const int d1 = axis_of(c, c.args.integer_or(0), sizes.rank());
  const int d2 = axis_of(c, c.args.integer_or(1), sizes.rank());
  wire::View v = diagonal_of(c, sizes, offset, d1, d2);
  if (c.b.status().ok()) c.finish(stored(c, x, src, v));
}

wire::View contiguous_view(const Shape& shape) {
  wire::View v;
  v.sizes = shape;
  v.strides = contiguous_strides(shape);
  return v;
}

void lower_select_scatter(OpContext& c) {  // self, src, dim, index
  ValueId x = c.read_next(), src = c.read_next();
  wire::View v = contiguous_view(c.b.shape(x));
  const int axis = axis_of(c, c.args.integer_or(0), v.sizes.rank());
  if (v.sizes.rank() == 0) return c.fail(invalid("needs a tensor of one dimension or more"));
  const int64_t index = wrapped(c.args.integer_or(0), v.sizes[axis]);
  if (index < 0 || index >= v.sizes[axis]) return c.fail(invalid("its index is out of range"));
  v.offset = index * v.strides[axis];
  v.sizes.erase(axis);
  v.strides.erase(axis);
  c.finish(stored(c, x, src, v));
}

void lower_slice_scatter(OpContext& c) {  // self, src, dim, start, end, step
  ValueId x = c.read_next(), src = c.read_next();
  wire::View v = contiguous_view(c.b.shape(x));
  const int axis = axis_of(c, c.args.integer_or(0), v.sizes.rank());
  if (v.sizes.rank() == 0) return c.fail(invalid("needs a tensor of one dimension or more"));
  const int64_t n = v.sizes[axis];
  const int64_t start = std::clamp(wrapped(c.args.integer_or(0), n), int64_t{0}, n);
  const int64_t end = std::clamp(wrapped(c.args.integer_or(n), n), start, n);
  const int64_t step = std::clamp<int64_t>(c.args.integer_or(1), 1, std::max<int64_t>(n, 1));
  v.offset = start * v.strides[axis];
  v.sizes[axis] = (end - start + step - 1) / step;
  v.strides[axis] *= step;
  c.finish(stored(c, x, src, v));
}

void lower_as_strided_scatter(OpContext& c) {  // self, src, size, stride, offset
  ValueId x = c.read_next(), src = c.read_next();
  wire::View v;
  v.sizes = shape_of(c, c.args.integers().value_or(std::vector<int64_t>{}));
  v.strides = shape_of(c, c.args.integers().value_or(std::vector<int64_t>{}));
  v.offset = c.has_more() ? c.args.integer_or(0) : 0;
  bool ok = v.sizes.rank() == v.strides.rank();
  for (int64_t s : v.strides) ok = ok && s >= 0 && s < (int64_t{1} << 46);
  if (!ok) return c.fail(invalid("needs one stride of 0 or more for each size"));
  if (!(v.sizes == c.b.shape(src)))
    return c.fail(invalid("its source has another shape than its view"));
  c.finish(stored(c, x, src, v));
}

void lower_unfold_backward(OpContext& c) {  // grad, input_sizes, dim, size, step
  if (c.output_shape().rank() == 0) return c.finish(c.b.reshape(c.read_next(), {}));
  Grown g = read_grown(c);
  if (!c.b.status().ok()) return;
  const int64_t size = c.args.integer_or(1), step = c.args.integer_or(1);
  Shape from = c.b.shape(g.grad), perm;
  if (from.rank() != g.sizes.rank() + 1 || from.back() != size)
    return c.fail(invalid("its gradient has another shape than its windows"));
  const int last = from.rank() - 1;
  for (int i = 0; i < last; i++) {
    perm.push_back(i);
    if (i == g.axis) perm.push_back(last);
  }
  Shape joined = g.sizes;
  joined[g.axis] = from[g.axis] * size;
  ValueId update = c.b.reshape(c.b.transpose(g.grad, perm), joined);
  Shape windows{from[g.axis], size};
  Expr window{&c.b, c.b.iota(0, DType::i64, windows)}, at{&c.b, c.b.iota(1, DType::i64, windows)};
  Expr index = (window * static_cast<double>(step) + at).reshape({windows.numel()});
  ValueId base = c.b.constant(0, c.b.dtype(g.grad), g.sizes);
  c.finish(c.b.scatter(ScatterKind::add, base, index.v, update, g.axis));
}

void lower_trace(OpContext& c) {
  Expr x{&c.b, c.read_next()};
  if (x.rank() != 2) return c.fail(invalid("needs a matrix"));
  x = {&c.b, cast(c.b, x.v, compute_type(c.output_dtype()))};
  Expr row{&c.b, c.b.iota(0, DType::i64, x.shape())}, col{&c.b, c.b.iota(1, DType::i64, x.shape())};
  c.finish(sum_of(select(equal(row, col), x, 0), {0, 1}).v);
}

constexpr OpRow kRows[] = {
    {"cat", kAll, lower_cat},
    {"concat", kAll, lower_cat},
    {"stack", kAll, lower_stack},
    {"_unsafe_view", kAll, lower_unsafe_view},
    {"unsafe_split.Tensor", kAll, lower_unsafe_split},
    {"unsafe_split_with_sizes", kAll, lower_unsafe_split},
    {"flip", kAll, lower_flip},
    {"roll", kAll, lower_roll},
    {"repeat", kAll, lower_repeat},
    {"select_backward", kAll, lower_select_backward},
    {"slice_backward", kAll, lower_slice_backward},
    {"diagonal_backward", kAll, lower_diagonal_backward},
    {"unfold_backward", kNumbers, lower_unfold_backward},
    {"select_scatter", kAll, lower_select_scatter},
    {"slice_scatter", kAll, lower_slice_scatter},
    {"diagonal_scatter", kAll, lower_diagonal_scatter},
    {"as_strided_scatter", kAll, lower_as_strided_scatter},
    {"trace", kAll, lower_trace},
};

}  // namespace

std::span<const OpRow> layout_ops() { return kRows; }

}  // namespace moai::lower
