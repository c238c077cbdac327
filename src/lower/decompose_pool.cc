// Pooling over the last one to three axes. Averages are computed in f32 for f16 and bf16.
#include <algorithm>
#include <limits>

#include "src/lower/resample.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// A number for each spatial axis; one stands for all, a missing or empty list for `fallback`.
Shape next_numbers(OpContext& c, const Shape& fallback) {
  if (!c.has_more()) return fallback;
  std::vector<int64_t> list = c.args.integers().value_or(std::vector<int64_t>{});
  if (list.empty()) return fallback;
  if (list.size() == 1) return Shape::filled(fallback.rank(), list[0]);
  if (static_cast<int>(list.size()) == fallback.rank())
    return Shape(std::span<const int64_t>(list));
  c.fail(invalid("takes a number for each spatial dimension"));
  return fallback;
}

struct Pool {
  Shape kernel, stride, padding, dilation;
};

Pool next_pool(OpContext& c, int spatial) {  // kernel, stride, padding
  Pool p;
  p.dilation = Shape::filled(spatial, 1);
  p.kernel = next_numbers(c, p.dilation);
  p.stride = next_numbers(c, p.kernel);
  p.padding = next_numbers(c, Shape::filled(spatial, 0));
  for (int i = 0; i < spatial; i++) {
    if (p.kernel[i] >= 1 && p.stride[i] >= 1 && p.padding[i] >= 0) continue;
    c.fail(invalid("kernel and stride must be >= 1, padding >= 0"));
    p.kernel[i] = p.stride[i] = 1;
  }
  return p;
}

// The window of `from` to `to`; `to` says whether the last window may stand out (ceil_mode).
WindowAttrs window_of(ReduceKind kind, const Pool& p, const Shape& from, const Shape& to) {
  WindowAttrs a{kind, p.kernel, p.stride, p.dilation, p.padding, {}};
  for (int i = 0; i < from.rank(); i++) {
    const int64_t reach = (p.kernel[i] - 1) * p.dilation[i] + 1;
    const int64_t exact = (to[i] - 1) * p.stride[i] + reach - from[i] - p.padding[i];
    a.pad_hi.push_back(std::max<int64_t>(exact, 0));
  }
  return a;
}

bool has_planes(OpContext& c, int spatial, const Shape& a, const Shape& b) {
  const bool ok = a.rank() == b.rank() && (a.rank() == spatial + 1 || a.rank() == spatial + 2);
  if (!ok)
    c.fail(invalid("takes tensors of " + std::to_string(spatial + 1) + " or " +
                   std::to_string(spatial + 2) + " dimensions"));
  return ok && c.b.status().ok();
}

template <int spatial>
void lower_max_pool(OpContext& c) {  // self, kernel, stride, padding, dilation, ceil_mode
  ValueId x = c.read_next();
  const Shape from = c.b.shape(x), to = c.output_shape();
  Pool p = next_pool(c, spatial);
  p.dilation = next_numbers(c, p.dilation);
  if (!has_planes(c, spatial, from, to)) return;
  const WindowAttrs window =
      window_of(ReduceKind::max, p, plane_of(from, spatial), plane_of(to, spatial));
  auto [values, index] = c.b.max_pool_idx(x, window);
  const ValueId results[] = {values, index};
  c.finish(results);
}

// Each element of the gradient goes to the place of its plane that was the largest.
void finish_max_backward(OpContext& c, int spatial, Expr dy, ValueId index) {
  const Shape from = dy.shape(), to = c.output_shape();
  if (!has_planes(c, spatial, from, to)) return;
  const int64_t n = to.rank() == spatial + 2 ? to[0] * to[1] : to[0];
  const Shape flat{n, plane_of(from, spatial).numel()};
  dy = dy.to(compute_type(dy.dtype())).reshape(flat);
  ValueId zero = c.b.constant(0, dy.dtype(), {n, plane_of(to, spatial).numel()});
  ValueId dx = c.b.scatter_along(ScatterKind::add, zero, c.b.reshape(index, flat), dy.v, 1);
  c.finish(c.b.reshape(dx, to));
}

// grad, self, kernel, stride, padding, dilation, ceil_mode, indices
template <int spatial>
void lower_max_pool_backward(OpContext& c) {
  Expr dy{&c.b, c.read_next()};
  c.args.tensor();
  for (int i = 0; i < 4; i++) c.args.integers();
  c.args.integer();
  finish_max_backward(c, spatial, dy, c.read_next());
}

struct Average {
  Pool pool;
  bool counts_padding = true;
  int64_t divisor = 0;  // 0: the size of the window
};

// kernel, stride, padding, ceil_mode, count_include_pad, divisor
Average next_average(OpContext& c, int spatial) {
  Average a{next_pool(c, spatial)};
  if (c.has_more()) c.args.integer();
  if (c.has_more()) a.counts_padding = c.args.integer_or(1) != 0;
  if (c.has_more()) a.divisor = c.args.integer_or(0);
  return a;
}

// How many elements each window of one axis counts, along axis `axis` of `shape`.
Expr window_sizes(OpContext& c, const Average& a, int axis, int64_t size, DType t,
                  const Shape& shape) {
  const int at = shape.rank() - a.pool.kernel.rank() + axis;
  const auto n = static_cast<double>(size), p = static_cast<double>(a.pool.padding[axis]);
  Expr i{&c.b, c.b.iota(at, t, shape)};
  Expr first = i * static_cast<double>(a.pool.stride[axis]) - p;
  Expr last = first + static_cast<double>(a.pool.kernel[axis]);
  if (a.counts_padding) return minimum(last, n + p) - first;
  return minimum(last, n) - maximum(first, 0);
}

// Whether no window of a plane `from` pooled to `to` is cut.
bool is_uniform(const Average& a, const Shape& from, const Shape& to) {
  for (int i = 0; i < from.rank(); i++) {
    const int64_t pad = a.pool.padding[i], end = (to[i] - 1) * a.pool.stride[i] + a.pool.kernel[i];
    if (a.counts_padding ? end > from[i] + 2 * pad : pad > 0 || end > from[i]) return false;
  }
  return true;
}

// What the sums of windows are divided by.
Expr divided(OpContext& c, Expr sums, const Average& a, const Shape& from, const Shape& to) {
  if (a.divisor) return sums / static_cast<double>(a.divisor);
  if (is_uniform(a, from, to)) return sums / static_cast<double>(a.pool.kernel.numel());
  Expr sizes = window_sizes(c, a, 0, from[0], sums.dtype(), sums.shape());
  for (int i = 1; i < from.rank(); i++)
    sizes = sizes * window_sizes(c, a, i, from[i], sums.dtype(), sums.shape());
  return sums / sizes;
}

template <int spatial>
void lower_avg_pool(OpContext& c) {  // self, then the average's
  Expr x{&c.b, c.read_next()};
  const Shape shape = x.shape(), out = c.output_shape();
  Average a = next_average(c, spatial);
  if (!has_planes(c, spatial, shape, out)) return;
  x = x.to(compute_type(x.dtype()));
  const Shape from = plane_of(shape, spatial), to = plane_of(out, spatial);
  Expr sums{&c.b, c.b.reduce_window(x.v, window_of(ReduceKind::sum, a.pool, from, to))};
  c.finish(divided(c, sums, a, from, to).v);
}

// Each element collects the windows that it is in: a window of the same kernel over the gradient,
// spread by the stride.
template <int spatial>
void lower_avg_pool_backward(OpContext& c) {  // grad, self, then the average's
  Expr dy{&c.b, c.read_next()};
  c.args.tensor();
  const Shape shape = dy.shape(), out = c.output_shape();
  Average a = next_average(c, spatial);
  if (!has_planes(c, spatial, shape, out)) return;
  const Shape wide = plane_of(out, spatial), narrow = plane_of(shape, spatial);
  dy = divided(c, dy.to(compute_type(dy.dtype())), a, wide, narrow);
  const int r = shape.rank();
  Shape lo = Shape::filled(r, 0), hi = lo, interior = lo;
  for (int i = 0; i < spatial; i++) {
    const int at = r - spatial + i;
    const int64_t k = a.pool.kernel[i], stride = a.pool.stride[i];
    lo[at] = k - 1 - a.pool.padding[i];
    hi[at] = wide[i] + k - 1 - lo[at] - ((narrow[i] - 1) * stride + 1);
    interior[at] = stride - 1;
  }
  ValueId spread = c.b.pad(dy.v, c.b.constant(0, dy.dtype()), lo, hi, interior);
  const Shape ones = Shape::filled(spatial, 1), zeros = Shape::filled(spatial, 0);
  WindowAttrs window{ReduceKind::sum, a.pool.kernel, ones, ones, zeros, zeros};
  c.finish(c.b.reduce_window(spread, window));
}

// Of integers that are not negative.
Expr floor_div(Expr a, int64_t b) { return a / static_cast<double>(b); }

// [n, m]: row i averages the elements from floor(i m / n) to ceil((i + 1) m / n).
Expr averaging_matrix(OpContext& c, DType t, int64_t n, int64_t m) {
  const auto out = static_cast<double>(n), in = static_cast<double>(m);
  Expr i = row_number(c, DType::i64, n, m), j = column_number(c, DType::i64, n, m);
  Expr first = i * in / out, end = ((i + 1.0) * in + (out - 1)) / out;
  return select(both(j >= first, j < end), 1.0 / (end - first).to(t), 0);
}

std::vector<Expr> averaging_matrices(OpContext& c, DType t, const Shape& to, const Shape& from) {
  std::vector<Expr> m;
  for (int i = 0; i < to.rank(); i++) m.push_back(averaging_matrix(c, t, to[i], from[i]));
  return m;
}

// The step of equal windows on every axis; nullopt where some overlap or differ in size.
std::optional<Shape> equal_windows(const Shape& from, const Shape& to) {
  Shape size;
  for (int i = 0; i < to.rank(); i++) {
    if (to[i] < 1 || from[i] % to[i] != 0) return std::nullopt;
    size.push_back(from[i] / to[i]);
  }
  return size;
}

// [planes, to1, size1, to2, size2 ..]
Shape in_windows(int64_t planes, const Shape& to, const Shape& size) {
  Shape s{planes};
  for (int i = 0; i < to.rank(); i++) {
    s.push_back(to[i]);
    s.push_back(size[i]);
  }
  return s;
}

template <int spatial>
void lower_adaptive_average(OpContext& c) {  // self, output size
  Expr x{&c.b, c.read_next()};
  const Shape out = c.output_shape(), shape = x.shape();
  if (!has_planes(c, spatial, shape, out)) return;
  x = planes_of(c, x.to(compute_type(x.dtype())), spatial);
  const Shape from = plane_of(shape, spatial), to = plane_of(out, spatial);
  if (auto size = equal_windows(from, to)) {
    Shape axes;
    for (int i = 0; i < spatial; i++) axes.push_back(2 * i + 2);
    Expr y = sum_of(x.reshape(in_windows(x.shape()[0], to, *size)), axes);
    return c.finish((y / static_cast<double>(size->numel())).reshape(out).v);
  }
  c.finish(resample(x, averaging_matrices(c, x.dtype(), to, from)).reshape(out).v);
}

template <int spatial>
void lower_adaptive_average_backward(OpContext& c) {  // grad, self
  Expr dy{&c.b, c.read_next()};
  const Shape out = c.output_shape(), shape = dy.shape();
  if (!has_planes(c, spatial, shape, out)) return;
  dy = planes_of(c, dy.to(compute_type(dy.dtype())), spatial);
  const Shape wide = plane_of(out, spatial), narrow = plane_of(shape, spatial);
  if (auto size = equal_windows(wide, narrow)) {
    const int64_t n = dy.shape()[0];
    Expr part = (dy / static_cast<double>(size->numel()))
                    .reshape(in_windows(n, narrow, Shape::filled(spatial, 1)));
    return c.finish(part.broadcast_to(in_windows(n, narrow, *size)).reshape(out).v);
  }
  c.finish(resample_back(dy, averaging_matrices(c, dy.dtype(), narrow, wide)).reshape(out).v);
}

// The windows of an axis of `in` elements pooled to `out`: window i begins at floor(i in / out) and
// ends before ceil((i + 1) in / out).
struct Windows {
  int64_t in, out, widest = 1;
  Windows(int64_t in_size, int64_t out_size) : in(in_size), out(out_size) {
    for (int64_t i = 0; i < out; i++) widest = std::max(widest, end(i) - begin(i));
  }
  int64_t begin(int64_t i) const { return i * in / out; }
  int64_t end(int64_t i) const { return ((i + 1) * in + out - 1) / out; }
};

// The element of the axis at place k of window i, both i64 of one shape; in range also where the
// window has ended.
Expr element_of(Expr i, Expr k, const Windows& w) {
  Expr first = floor_div(i * static_cast<double>(w.in), w.out);
  return minimum(first + k, static_cast<double>(w.in - 1));
}
Expr has_ended(Expr i, Expr k, const Windows& w) {
  Expr end =
      floor_div((i + 1.0) * static_cast<double>(w.in) + static_cast<double>(w.out - 1), w.out);
  return floor_div(i * static_cast<double>(w.in), w.out) + k >= end;
}

// Every window is laid out at the width of the widest, and its first largest element is looked up.
template <int spatial>
void lower_adaptive_max(OpContext& c) {  // self, output size
  Expr x{&c.b, c.read_next()};
  const Shape out = c.output_shape(), shape = x.shape();
  if (!has_planes(c, spatial, shape, out)) return;
  x = planes_of(c, x, spatial);
  const Shape from = plane_of(shape, spatial), to = plane_of(out, spatial);
  Shape widest;
  std::vector<Windows> axes;
  for (int d = 0; d < spatial; d++) {
    axes.emplace_back(from[d], to[d]);
    widest.push_back(axes.back().widest);
    const Shape grid{to[d], widest[d]};
    Expr at = element_of(row_number(c, DType::i64, grid[0], grid[1]),
                         column_number(c, DType::i64, grid[0], grid[1]), axes.back());
    x.v = c.b.gather(x.v, at.reshape({grid.numel()}).v, d + 1);
  }
  const int64_t n = x.shape()[0];
  const Shape laid_out = in_windows(n, to, widest);
  x = x.reshape(laid_out);
  Shape order{0}, flat{n};
  for (int d = 0; d < spatial; d++) {
    Expr ended = has_ended({&c.b, c.b.iota(2 * d + 1, DType::i64, laid_out)},
                           {&c.b, c.b.iota(2 * d + 2, DType::i64, laid_out)}, axes[d]);
    x = select(ended, -std::numeric_limits<double>::infinity(), x);
    order.push_back(2 * d + 1);
    flat.push_back(to[d]);
  }
  for (int d = 0; d < spatial; d++) order.push_back(2 * d + 2);
  flat.push_back(widest.numel());
  x.v = c.b.transpose(x.v, order);
  x = x.reshape(flat);
  ValueId values = c.b.reduce(ReduceKind::max, x.v, {spatial + 1});
  Expr place{&c.b, c.b.arg_reduce(ReduceKind::max, x.v, spatial + 1)};
  Expr index = place.constant(0);
  int64_t below = widest.numel();
  for (int d = 0; d < spatial; d++) {  // place in the window -> element of the plane
    below /= widest[d];
    Expr k = floor_div(place, below);
    place = place - k * static_cast<double>(below);
    Expr i{&c.b, c.b.iota(d + 1, DType::i64, place.shape())};
    index = index * static_cast<double>(from[d]) + element_of(i, k, axes[d]);
  }
  const ValueId results[] = {c.b.reshape(values, out), index.reshape(out).v};
  c.finish(results);
}

template <int spatial>
void lower_adaptive_max_backward(OpContext& c) {  // grad, self, indices
  Expr dy{&c.b, c.read_next()};
  c.args.tensor();
  finish_max_backward(c, spatial, dy, c.read_next());
}

constexpr OpRow kRows[] = {
    {"max_pool2d_with_indices", kNumbers, lower_max_pool<2>},
    {"max_pool2d_with_indices_backward", kFloats, lower_max_pool_backward<2>},
    {"max_pool3d_with_indices", kNumbers, lower_max_pool<3>},
    {"max_pool3d_with_indices_backward", kFloats, lower_max_pool_backward<3>},
    {"avg_pool2d", kFloats, lower_avg_pool<2>},
    {"avg_pool2d_backward", kFloats, lower_avg_pool_backward<2>},
    {"avg_pool3d", kFloats, lower_avg_pool<3>},
    {"avg_pool3d_backward", kFloats, lower_avg_pool_backward<3>},
    {"_adaptive_avg_pool2d", kFloats, lower_adaptive_average<2>},
    {"_adaptive_avg_pool2d_backward", kFloats, lower_adaptive_average_backward<2>},
    {"_adaptive_avg_pool3d", kFloats, lower_adaptive_average<3>},
    {"_adaptive_avg_pool3d_backward", kFloats, lower_adaptive_average_backward<3>},
    {"adaptive_max_pool2d", kFloats, lower_adaptive_max<2>},
    {"adaptive_max_pool2d_backward", kFloats, lower_adaptive_max_backward<2>},
    {"adaptive_max_pool3d", kFloats, lower_adaptive_max<3>},
    {"adaptive_max_pool3d_backward", kFloats, lower_adaptive_max_backward<3>},
};

}  // namespace

std::span<const OpRow> pool_ops() { return kRows; }

}  // namespace moai::lower
