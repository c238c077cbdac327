// Resizing of the last one to three axes. Each output element is a sum of input elements along each
// axis; but for the nearest element, the weights of an axis are a matrix [out, in].
#include <array>
#include <cmath>

#include "src/lower/resample.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// An axis of `in` elements that is resized to `out`.
struct Resize {
  int64_t in = 0, out = 0;
  std::optional<Operand> scale;  // as the caller gave it; else the ratio of the sizes
};

// Distance of neighbours in the input, 0-dim.
Expr step_of(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  double step = static_cast<double>(r.in) / static_cast<double>(r.out);
  if (aligns_corners)
    step = r.out > 1 ? static_cast<double>(r.in - 1) / static_cast<double>(r.out - 1) : 0;
  else if (r.scale)
    return (1.0 / as(c, *r.scale, DType::f64, {})).to(t);
  return {&c.b, c.b.constant(step, t)};
}

// Input element of each output element, i64: the one at its corner, or at its middle.
template <bool is_exact>
Expr nearest(OpContext& c, const Resize& r) {
  Expr i{&c.b, c.b.iota(0, DType::f32, {r.out})};
  if (is_exact) i = i + 0.5;
  Expr at = (i * step_of(c, r, DType::f32, false).broadcast_to({r.out})).to(DType::i64);
  return minimum(at, static_cast<double>(r.in - 1));
}

// Where each output element lies between input elements: [out, in], the same in each column.
Expr place_of(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  Expr i = row_number(c, t, r.out, r.in);
  Expr step = step_of(c, r, t, aligns_corners).broadcast_to({r.out, r.in});
  return aligns_corners ? i * step : (i + 0.5) * step - 0.5;
}

// The shares of the two neighbours.
Expr linear(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  const auto last = static_cast<double>(r.in - 1);
  Expr j = column_number(c, t, r.out, r.in);
  Expr at = maximum(place_of(c, r, t, aligns_corners), 0);
  Expr left = minimum(floor_of(at), last), right = minimum(left + 1.0, last);
  Expr share = minimum(maximum(at - left, 0), 1);
  return select(equal(j, left), 1.0 - share, 0) + select(equal(j, right), share, 0);
}

// Keys' cubic convolution: its weight at a distance of at most one, and of one to two.
Expr cubic_near(Expr d, double a) { return (d * (a + 2) - (a + 3)) * d * d + 1.0; }
Expr cubic_far(Expr d, double a) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; }

// The shares of the four neighbours; those beyond the border are the border's.
Expr cubic(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  constexpr double kA = -0.75;
  const auto last = static_cast<double>(r.in - 1);
  Expr j = column_number(c, t, r.out, r.in), at = place_of(c, r, t, aligns_corners);
  Expr left = floor_of(at), share = at - left, rest = 1.0 - share;
  const std::array<Expr, 4> weights = {cubic_far(share + 1.0, kA), cubic_near(share, kA),
                                       cubic_near(rest, kA), cubic_far(rest + 1.0, kA)};
  Expr sum = j.constant(0);
  for (int k = 0; k < 4; k++) {
    Expr neighbour = minimum(maximum(left + static_cast<double>(k - 1), 0), last);
    sum = sum + select(equal(j, neighbour), weights[static_cast<size_t>(k)], 0);
  }
  return sum;
}

// Antialiased: a filter as wide as the step of a shrinking axis, its weights adding up to one.
template <bool is_cubic>
Expr antialiased(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  constexpr double kA = -0.5;
  const Shape shape{r.out, r.in};
  Expr i = row_number(c, t, r.out, r.in), j = column_number(c, t, r.out, r.in);
  Expr step = step_of(c, r, t, aligns_corners).broadcast_to(shape);
  Expr width = maximum(step, 1.0), center = step * (i + 0.5),
       reach = width * (is_cubic ? 2.0 : 1.0);
  Expr first = maximum(trunc_of(center - reach + 0.5), 0);
  Expr end = minimum(trunc_of(center + reach + 0.5), static_cast<double>(r.in));
  Expr d = magnitude((j - center + 0.5) / width);
  Expr weight = is_cubic ? select(d < 1.0, cubic_near(d, kA), select(d < 2.0, cubic_far(d, kA), 0))
                         : maximum(1.0 - d, 0);
  weight = select(both(j >= first, j < end), weight, 0);
  Expr total = sum_of(weight, {1}).reshape({r.out, 1}).broadcast_to(shape);
  return select(equal(total, 0), 0, weight / total);
}

// The sizes and scales of the end of a call.
std::vector<Resize> next_axes(OpContext& c, int spatial, const Shape& in, const Shape& out) {
  std::vector<Resize> axes;
  if (in.rank() < spatial + 1 || in.rank() != out.rank() || !in.numel() || !out.numel()) {
    c.fail(invalid("takes tensors of " + std::to_string(spatial + 2) +
                   " dimensions that are not empty"));
    return axes;
  }
  for (int at = in.rank() - spatial; at < in.rank(); at++) {
    axes.push_back({in[at], out[at], {}});
    if (c.has_more()) axes.back().scale = next_operand_optional(c);
  }
  return axes;
}

template <int spatial, bool is_exact>
void lower_nearest(OpContext& c) {  // self, output size, scales
  ValueId x = c.read_next();
  c.args.integers();
  std::vector<Resize> axes = next_axes(c, spatial, c.b.shape(x), c.output_shape());
  if (!c.b.status().ok()) return;
  int at = c.b.shape(x).rank() - spatial;
  for (const Resize& axis : axes) x = c.b.gather(x, nearest<is_exact>(c, axis).v, at++);
  c.finish(x);
}

template <int spatial, bool is_exact>
void lower_nearest_backward(OpContext& c) {  // grad, output size, input size, scales
  Expr g{&c.b, c.read_next()};
  c.args.integers(), c.args.integers();
  const Shape to = c.output_shape();
  Shape shape = g.shape();
  std::vector<Resize> axes = next_axes(c, spatial, to, shape);
  if (!c.b.status().ok()) return;
  g = g.to(compute_type(g.dtype()));
  for (size_t i = axes.size(); i-- > 0;) {
    const int at = to.rank() - spatial + static_cast<int>(i);
    shape[at] = to[at];
    ValueId zero = c.b.constant(0, g.dtype(), shape);
    g.v = c.b.scatter(ScatterKind::add, zero, nearest<is_exact>(c, axes[i]).v, g.v, at);
  }
  c.finish(g.v);
}

using Weights = Expr (*)(OpContext&, const Resize&, DType, bool aligns_corners);

std::vector<Expr> matrices(OpContext& c, std::span<const Resize> axes, Weights weights, DType t,
                           bool aligns_corners) {
  std::vector<Expr> m;
  for (const Resize& axis : axes) m.push_back(weights(c, axis, t, aligns_corners));
  return m;
}

template <int spatial, Weights weights>
void lower_weighted(OpContext& c) {  // self, output size, align_corners, scales
  Expr x{&c.b, c.read_next()};
  c.args.integers();
  const bool aligns = c.args.integer_or(0) != 0;
  const Shape out = c.output_shape();
  std::vector<Resize> axes = next_axes(c, spatial, x.shape(), out);
  if (!c.b.status().ok()) return;
  x = planes_of(c, x.to(compute_type(x.dtype())), spatial);
  c.finish(resample(x, matrices(c, axes, weights, x.dtype(), aligns)).reshape(out).v);
}

template <int spatial, Weights weights>
void lower_weighted_backward(
    OpContext& c) {  // grad, output size, input size, align_corners, scales
  Expr g{&c.b, c.read_next()};
  c.args.integers(), c.args.integers();
  const bool aligns = c.args.integer_or(0) != 0;
  const Shape out = c.output_shape();
  std::vector<Resize> axes = next_axes(c, spatial, out, g.shape());
  if (!c.b.status().ok()) return;
  g = planes_of(c, g.to(compute_type(g.dtype())), spatial);
  c.finish(resample_back(g, matrices(c, axes, weights, g.dtype(), aligns)).reshape(out).v);
}

#define MOAI_NEAREST(name, spatial, is_exact)                            \
  {name, kFloats, lower_nearest<spatial, is_exact>}, {                   \
    name "_backward", kFloats, lower_nearest_backward<spatial, is_exact> \
  }
#define MOAI_WEIGHTED(name, spatial, weights)                            \
  {name, kFloats, lower_weighted<spatial, weights>}, {                   \
    name "_backward", kFloats, lower_weighted_backward<spatial, weights> \
  }

constexpr OpRow kRows[] = {
    MOAI_NEAREST("upsample_nearest1d", 1, false),
    MOAI_NEAREST("upsample_nearest2d", 2, false),
    MOAI_NEAREST("upsample_nearest3d", 3, false),
    MOAI_NEAREST("_upsample_nearest_exact1d", 1, true),
    MOAI_NEAREST("_upsample_nearest_exact2d", 2, true),
    MOAI_NEAREST("_upsample_nearest_exact3d", 3, true),
    MOAI_WEIGHTED("upsample_linear1d", 1, linear),
    MOAI_WEIGHTED("upsample_bilinear2d", 2, linear),
    MOAI_WEIGHTED("upsample_trilinear3d", 3, linear),
    MOAI_WEIGHTED("upsample_bicubic2d", 2, cubic),
    MOAI_WEIGHTED("_upsample_bilinear2d_aa", 2, antialiased<false>),
    MOAI_WEIGHTED("_upsample_bicubic2d_aa", 2, antialiased<true>),
};

}  // namespace

std::span<const OpRow> resize_ops() { return kRows; }

}  // namespace moai::lower
