// Pooling over the last two axes. Averages are computed in f32 for f16 and bf16.
#include <algorithm>

#include "src/lower/resample.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// A pair of integers; one stands for both, a missing or empty list for `fallback`.
Shape next_pair(OpContext& c, const Shape& fallback) {
  if (!c.has_more()) return fallback;
  std::vector<int64_t> list = c.args.integers().value_or(std::vector<int64_t>{});
  if (list.empty()) return fallback;
  if (list.size() == 1) return {list[0], list[0]};
  if (list.size() == 2) return Shape(std::span<const int64_t>(list));
  c.fail(invalid("takes two numbers for the two spatial dimensions"));
  return fallback;
}

Shape plane(const Shape& s) { return {s[s.rank() - 2], s[s.rank() - 1]}; }

struct Pool {
  Shape kernel, stride, padding, dilation{1, 1};
};

Pool next_pool(OpContext& c) {  // kernel, stride, padding
  Pool p;
  p.kernel = next_pair(c, {1, 1});
  p.stride = next_pair(c, p.kernel);
  p.padding = next_pair(c, {0, 0});
  for (int i = 0; i < 2; i++) {
    if (p.kernel[i] >= 1 && p.stride[i] >= 1 && p.padding[i] >= 0) continue;
    c.fail(invalid("kernel and stride must be >= 1, padding >= 0"));
    p.kernel[i] = p.stride[i] = 1;
  }
  return p;
}

// The window of `from` to `to`; `to` says whether the last window may stand out (ceil_mode).
WindowAttrs window_of(ReduceKind kind, const Pool& p, const Shape& from, const Shape& to) {
  WindowAttrs a{kind, p.kernel, p.stride, p.dilation, p.padding, {}};
  for (int i = 0; i < 2; i++) {
    const int64_t reach = (p.kernel[i] - 1) * p.dilation[i] + 1;
    const int64_t exact = (to[i] - 1) * p.stride[i] + reach - from[i] - p.padding[i];
    a.pad_hi.push_back(std::max<int64_t>(exact, 0));
  }
  return a;
}

bool has_plane(OpContext& c, const Shape& a, const Shape& b) {
  const bool ok = a.rank() == b.rank() && (a.rank() == 3 || a.rank() == 4);
  if (!ok) c.fail(invalid("takes tensors of three or four dimensions"));
  return ok && c.b.status().ok();
}

void lower_max_pool(OpContext& c) {  // self, kernel, stride, padding, dilation, ceil_mode
  ValueId x = c.read_next();
  const Shape from = c.b.shape(x), to = c.output_shape();
  Pool p = next_pool(c);
  p.dilation = next_pair(c, {1, 1});
  if (!has_plane(c, from, to)) return;
  auto [values, index] = c.b.max_pool_idx(x, window_of(ReduceKind::max, p, plane(from), plane(to)));
  const ValueId results[] = {values, index};
  c.finish(results);
}

// grad, self, kernel, stride, padding, dilation, ceil_mode, indices
void lower_max_pool_backward(OpContext& c) {
  Expr dy{&c.b, c.read_next()};
  c.args.tensor();
  for (int i = 0; i < 4; i++) c.args.integers();
  c.args.integer();
  ValueId index = c.read_next();
  const Shape from = dy.shape(), to = c.output_shape();
  if (!has_plane(c, from, to)) return;
  const int64_t n = to.rank() == 4 ? to[0] * to[1] : to[0];
  const Shape flat{n, plane(from).numel()};
  dy = dy.to(compute_type(dy.dtype())).reshape(flat);
  ValueId zero = c.b.constant(0, dy.dtype(), {n, plane(to).numel()});
  ValueId dx = c.b.scatter_along(ScatterKind::add, zero, c.b.reshape(index, flat), dy.v, 1);
  c.finish(c.b.reshape(dx, to));
}

struct Average {
  Pool pool;
  bool counts_padding = true;
  int64_t divisor = 0;  // 0: the size of the window
};

Average next_average(
    OpContext& c) {  // kernel, stride, padding, ceil_mode, count_include_pad, divisor
  Average a{next_pool(c)};
  if (c.has_more()) c.args.integer();
  if (c.has_more()) a.counts_padding = c.args.integer_or(1) != 0;
  if (c.has_more()) a.divisor = c.args.integer_or(0);
  return a;
}

// How many elements each window of one axis counts, along axis `axis` of `shape`.
Expr window_sizes(OpContext& c, const Average& a, int axis, int64_t size, DType t,
                  const Shape& shape) {
  const int at = shape.rank() - 2 + axis;
  const auto n = static_cast<double>(size), p = static_cast<double>(a.pool.padding[axis]);
  Expr i{&c.b, c.b.iota(at, t, shape)};
  Expr first = i * static_cast<double>(a.pool.stride[axis]) - p;
  Expr last = first + static_cast<double>(a.pool.kernel[axis]);
  if (a.counts_padding) return minimum(last, n + p) - first;
  return minimum(last, n) - maximum(first, 0);
}

// Whether no window of a plane `from` pooled to `to` is cut.
bool is_uniform(const Average& a, const Shape& from, const Shape& to) {
  for (int i = 0; i < 2; i++) {
    const int64_t pad = a.pool.padding[i], end = (to[i] - 1) * a.pool.stride[i] + a.pool.kernel[i];
    if (a.counts_padding ? end > from[i] + 2 * pad : pad > 0 || end > from[i]) return false;
  }
  return true;
}

// What the sums of windows are divided by.
Expr divided(OpContext& c, Expr sums, const Average& a, const Shape& from, const Shape& to) {
  if (a.divisor) return sums / static_cast<double>(a.divisor);
  if (is_uniform(a, from, to)) return sums / static_cast<double>(a.pool.kernel.numel());
  return sums / (window_sizes(c, a, 0, from[0], sums.dtype(), sums.shape()) *
                 window_sizes(c, a, 1, from[1], sums.dtype(), sums.shape()));
}

void lower_avg_pool(OpContext& c) {  // self, then the average's
  Expr x{&c.b, c.read_next()};
  const Shape shape = x.shape(), out = c.output_shape();
  Average a = next_average(c);
  if (!has_plane(c, shape, out)) return;
  x = x.to(compute_type(x.dtype()));
  const Shape from = plane(shape), to = plane(out);
  Expr sums{&c.b, c.b.reduce_window(x.v, window_of(ReduceKind::sum, a.pool, from, to))};
  c.finish(divided(c, sums, a, from, to).v);
}

// Each element collects the windows that it is in: a window of the same kernel over the gradient,
// spread by the stride.
void lower_avg_pool_backward(OpContext& c) {  // grad, self, then the average's
  Expr dy{&c.b, c.read_next()};
  c.args.tensor();
  const Shape shape = dy.shape(), out = c.output_shape();
  Average a = next_average(c);
  if (!has_plane(c, shape, out)) return;
  const Shape wide = plane(out), narrow = plane(shape);
  dy = divided(c, dy.to(compute_type(dy.dtype())), a, wide, narrow);
  const int r = shape.rank();
  Shape lo = Shape::filled(r, 0), hi = lo, interior = lo;
  for (int i = 0; i < 2; i++) {
    const int at = r - 2 + i;
    const int64_t k = a.pool.kernel[i], stride = a.pool.stride[i];
    lo[at] = k - 1 - a.pool.padding[i];
    hi[at] = wide[i] + k - 1 - lo[at] - ((narrow[i] - 1) * stride + 1);
    interior[at] = stride - 1;
  }
  ValueId spread = c.b.pad(dy.v, c.b.constant(0, dy.dtype()), lo, hi, interior);
  WindowAttrs window{ReduceKind::sum, a.pool.kernel, {1, 1}, {1, 1}, {0, 0}, {0, 0}};
  c.finish(c.b.reduce_window(spread, window));
}

// [n, m]: row i averages the elements from floor(i m / n) to ceil((i + 1) m / n).
Expr averaging_matrix(OpContext& c, DType t, int64_t n, int64_t m) {
  const auto out = static_cast<double>(n), in = static_cast<double>(m);
  Expr i = row_number(c, DType::i64, n, m), j = column_number(c, DType::i64, n, m);
  Expr first = i * in / out, end = ((i + 1.0) * in + (out - 1)) / out;
  return select(both(j >= first, j < end), 1.0 / (end - first).to(t), 0);
}

void lower_adaptive(OpContext& c) {  // self, output size
  Expr x{&c.b, c.read_next()};
  const Shape out = c.output_shape(), shape = x.shape();
  if (!has_plane(c, shape, out)) return;
  x = planes_of(c, x.to(compute_type(x.dtype())));
  const Shape from = plane(shape), to = plane(out);
  if (out.numel() && from[0] % to[0] == 0 && from[1] % to[1] == 0) {
    const int64_t h = from[0] / to[0], w = from[1] / to[1];
    Expr y = sum_of(x.reshape({x.shape()[0], to[0], h, to[1], w}), {2, 4});
    return c.finish((y / static_cast<double>(h * w)).reshape(out).v);
  }
  Expr rows = averaging_matrix(c, x.dtype(), to[0], from[0]);
  c.finish(resample(x, rows, averaging_matrix(c, x.dtype(), to[1], from[1])).reshape(out).v);
}

void lower_adaptive_backward(OpContext& c) {  // grad, self
  Expr dy{&c.b, c.read_next()};
  const Shape out = c.output_shape(), shape = dy.shape();
  if (!has_plane(c, shape, out)) return;
  dy = planes_of(c, dy.to(compute_type(dy.dtype())));
  const Shape wide = plane(out), narrow = plane(shape);
  if (shape.numel() && wide[0] % narrow[0] == 0 && wide[1] % narrow[1] == 0) {
    const int64_t h = wide[0] / narrow[0], w = wide[1] / narrow[1], n = dy.shape()[0];
    Expr part = dy / static_cast<double>(h * w);
    part = part.reshape({n, narrow[0], 1, narrow[1], 1});
    return c.finish(part.broadcast_to({n, narrow[0], h, narrow[1], w}).reshape(out).v);
  }
  Expr rows = averaging_matrix(c, dy.dtype(), narrow[0], wide[0]);
  Expr columns = averaging_matrix(c, dy.dtype(), narrow[1], wide[1]);
  c.finish(resample_back(dy, rows, columns).reshape(out).v);
}

constexpr OpRow kRows[] = {
    {"max_pool2d_with_indices", kNumbers, lower_max_pool},
    {"max_pool2d_with_indices_backward", kFloats, lower_max_pool_backward},
    {"avg_pool2d", kFloats, lower_avg_pool},
    {"avg_pool2d_backward", kFloats, lower_avg_pool_backward},
    {"_adaptive_avg_pool2d", kFloats, lower_adaptive},
    {"_adaptive_avg_pool2d_backward", kFloats, lower_adaptive_backward},
};

}  // namespace

std::span<const OpRow> pool_ops() { return kRows; }

}  // namespace moai::lower
