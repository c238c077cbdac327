// Padding and upsampling of the last axes.
#include "src/lower/resample.h"

namespace moai::lower {
namespace {

using ir::ValueId;

void lower_constant_pad(OpContext& c) {  // self, pad (last dimension first), value
  ValueId x = c.read_next();
  std::vector<int64_t> pad = c.args.integers().value_or(std::vector<int64_t>{});
  const int r = c.b.shape(x).rank();
  if (pad.size() % 2 || pad.size() > 2 * static_cast<size_t>(r))
    return c.fail(invalid("takes two numbers for each dimension that it pads"));
  Operand value = c.has_more() ? next_number_or(c, 0) : operand_of(wire::ScalarArg{});
  Shape lo = Shape::filled(r, 0), hi = lo;
  for (size_t i = 0; i < pad.size(); i += 2) {
    const int at = r - 1 - static_cast<int>(i / 2);
    lo[at] = pad[i];
    hi[at] = pad[i + 1];
  }
  c.finish(c.b.pad(x, as(c, value, c.b.dtype(x), {}).v, lo, hi, Shape::filled(r, 0)));
}

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

// Input element of each output element, i64.
Expr nearest(OpContext& c, const Resize& r) {
  Expr i{&c.b, c.b.iota(0, DType::f32, {r.out})};
  Expr at = (i * step_of(c, r, DType::f32, false).broadcast_to({r.out})).to(DType::i64);
  return minimum(at, static_cast<double>(r.in - 1));
}

// [out, in]: the two neighbours' shares in each output element.
Expr bilinear(OpContext& c, const Resize& r, DType t, bool aligns_corners) {
  const Shape shape{r.out, r.in};
  const auto last = static_cast<double>(r.in - 1);
  Expr i = row_number(c, t, r.out, r.in), j = column_number(c, t, r.out, r.in);
  Expr step = step_of(c, r, t, aligns_corners).broadcast_to(shape);
  Expr at = aligns_corners ? i * step : maximum((i + 0.5) * step - 0.5, 0);
  Expr left = minimum(floor_of(at), last), right = minimum(left + 1.0, last);
  Expr share = minimum(maximum(at - left, 0), 1);
  return select(equal(j, left), 1.0 - share, 0) + select(equal(j, right), share, 0);
}

struct Plane {
  Resize rows, columns;
};

// The two sizes and scales of the end of a call.
Plane next_plane(OpContext& c, const Shape& in, const Shape& out) {
  Plane p;
  if (in.rank() < 3 || in.rank() != out.rank() || !in.numel() || !out.numel()) {
    c.fail(invalid("takes tensors of four dimensions that are not empty"));
    return p;
  }
  const int r = in.rank();
  p.rows = {in[r - 2], out[r - 2], {}};
  p.columns = {in[r - 1], out[r - 1], {}};
  if (c.has_more()) p.rows.scale = next_operand_optional(c);
  if (c.has_more()) p.columns.scale = next_operand_optional(c);
  return p;
}

void lower_nearest(OpContext& c) {  // self, output size, scales
  ValueId x = c.read_next();
  c.args.integers();
  Plane p = next_plane(c, c.b.shape(x), c.output_shape());
  if (!c.b.status().ok()) return;
  const int r = c.b.shape(x).rank();
  x = c.b.gather(x, nearest(c, p.rows).v, r - 2);
  c.finish(c.b.gather(x, nearest(c, p.columns).v, r - 1));
}

void lower_nearest_backward(OpContext& c) {  // grad, output size, input size, scales
  Expr g{&c.b, c.read_next()};
  c.args.integers(), c.args.integers();
  const Shape to = c.output_shape(), from = g.shape();
  Plane p = next_plane(c, to, from);
  if (!c.b.status().ok()) return;
  g = g.to(compute_type(g.dtype()));
  const int r = to.rank();
  auto collect = [&](const Resize& axis, int at, const Shape& shape) {
    ValueId zero = c.b.constant(0, g.dtype(), shape);
    g.v = c.b.scatter(ScatterKind::add, zero, nearest(c, axis).v, g.v, at);
  };
  collect(p.columns, r - 1, with_plane(to, from[r - 2], to[r - 1]));
  collect(p.rows, r - 2, to);
  c.finish(g.v);
}

void lower_bilinear(OpContext& c) {  // self, output size, align_corners, scales
  Expr x{&c.b, c.read_next()};
  c.args.integers();
  const bool aligns = c.args.integer_or(0) != 0;
  const Shape out = c.output_shape();
  Plane p = next_plane(c, x.shape(), out);
  if (!c.b.status().ok()) return;
  x = planes_of(c, x.to(compute_type(x.dtype())));
  Expr rows = bilinear(c, p.rows, x.dtype(), aligns);
  c.finish(resample(x, rows, bilinear(c, p.columns, x.dtype(), aligns)).reshape(out).v);
}

void lower_bilinear_backward(
    OpContext& c) {  // grad, output size, input size, align_corners, scales
  Expr g{&c.b, c.read_next()};
  c.args.integers(), c.args.integers();
  const bool aligns = c.args.integer_or(0) != 0;
  const Shape out = c.output_shape();
  Plane p = next_plane(c, out, g.shape());
  if (!c.b.status().ok()) return;
  g = planes_of(c, g.to(compute_type(g.dtype())));
  Expr rows = bilinear(c, p.rows, g.dtype(), aligns);
  c.finish(resample_back(g, rows, bilinear(c, p.columns, g.dtype(), aligns)).reshape(out).v);
}

// Input element of each element of an axis padded by mirroring, i64.
Expr mirrored(OpContext& c, int64_t in, int64_t out, int64_t lo) {
  const auto last = static_cast<double>(in - 1);
  Expr i{&c.b, c.b.iota(0, DType::i64, {out})};
  return last - magnitude(last - magnitude(i - static_cast<double>(lo)));
}

// Lower paddings of the last axes, last first; fails c for what a mirror cannot fill.
std::vector<int64_t> next_mirror(OpContext& c, const Shape& in) {
  std::vector<int64_t> pad = c.args.integers().value_or(std::vector<int64_t>{}), lo;
  const auto rank = static_cast<size_t>(in.rank());
  if (pad.size() % 2 || pad.size() / 2 > rank)
    return c.fail(invalid("takes two numbers for each dimension that it pads")), lo;
  for (size_t i = 0; i < pad.size(); i++) {
    if (pad[i] >= in[static_cast<int>(rank - 1 - i / 2)])
      c.fail(invalid("padding must be less than the dimension that it mirrors"));
    if (i % 2 == 0) lo.push_back(pad[i]);
  }
  return lo;
}

void lower_reflection(OpContext& c) {  // self, padding
  ValueId x = c.read_next();
  const Shape in = c.b.shape(x), out = c.output_shape();
  std::vector<int64_t> lo = next_mirror(c, in);
  if (in.rank() != out.rank()) c.fail(invalid("the output has the rank of the input"));
  if (!c.b.status().ok()) return;
  for (size_t i = 0; i < lo.size(); i++) {
    const int at = in.rank() - 1 - static_cast<int>(i);
    x = c.b.gather(x, mirrored(c, in[at], out[at], lo[i]).v, at);
  }
  c.finish(x);
}

void lower_reflection_backward(OpContext& c) {  // grad, self, padding
  Expr g{&c.b, c.read_next()};
  c.args.tensor();
  const Shape in = c.output_shape();
  Shape shape = g.shape();
  std::vector<int64_t> lo = next_mirror(c, in);
  if (in.rank() != shape.rank()) c.fail(invalid("the output has the rank of the gradient"));
  if (!c.b.status().ok()) return;
  g = g.to(compute_type(g.dtype()));
  for (size_t i = 0; i < lo.size(); i++) {
    const int at = in.rank() - 1 - static_cast<int>(i);
    Expr index = mirrored(c, in[at], shape[at], lo[i]);
    shape[at] = in[at];
    ValueId zero = c.b.constant(0, g.dtype(), shape);
    g.v = c.b.scatter(ScatterKind::add, zero, index.v, g.v, at);
  }
  c.finish(g.v);
}

constexpr OpRow kRows[] = {
    {"constant_pad_nd", kAll, lower_constant_pad},
    {"upsample_nearest2d", kFloats, lower_nearest},
    {"upsample_nearest2d_backward", kFloats, lower_nearest_backward},
    {"upsample_bilinear2d", kFloats, lower_bilinear},
    {"upsample_bilinear2d_backward", kFloats, lower_bilinear_backward},
    {"reflection_pad1d", kFloats, lower_reflection},
    {"reflection_pad1d_backward", kFloats, lower_reflection_backward},
    {"reflection_pad2d", kFloats, lower_reflection},
    {"reflection_pad2d_backward", kFloats, lower_reflection_backward},
};

}  // namespace

std::span<const OpRow> resize_ops() { return kRows; }

}  // namespace moai::lower
