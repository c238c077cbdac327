// Padding of the last axes.
#include "src/lower/operands.h"

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

// What stands beside an axis: its mirror image, or its first and last element again.
enum class Border { mirror, edge };

// Input element of each element of a padded axis, i64.
Expr source_of(OpContext& c, Border border, int64_t in, int64_t out, int64_t lo) {
  const auto last = static_cast<double>(in - 1);
  Expr i{&c.b, c.b.iota(0, DType::i64, {out})};
  i = i - static_cast<double>(lo);
  if (border == Border::edge) return minimum(maximum(i, 0), last);
  return last - magnitude(last - magnitude(i));
}

// Lower paddings of the last axes, last first; fails c for what the border cannot fill.
std::vector<int64_t> next_padding(OpContext& c, Border border, const Shape& in) {
  std::vector<int64_t> pad = c.args.integers().value_or(std::vector<int64_t>{}), lo;
  const auto rank = static_cast<size_t>(in.rank());
  if (pad.size() % 2 || pad.size() / 2 > rank)
    return c.fail(invalid("takes two numbers for each dimension that it pads")), lo;
  for (size_t i = 0; i < pad.size(); i++) {
    const int64_t size = in[static_cast<int>(rank - 1 - i / 2)];
    if (border == Border::mirror && pad[i] >= size)
      c.fail(invalid("padding must be less than the dimension that it mirrors"));
    if (size < 1) c.fail(invalid("an empty dimension has no border"));
    if (i % 2 == 0) lo.push_back(pad[i]);
  }
  return lo;
}

template <Border border>
void lower_border(OpContext& c) {  // self, padding
  ValueId x = c.read_next();
  const Shape in = c.b.shape(x), out = c.output_shape();
  std::vector<int64_t> lo = next_padding(c, border, in);
  if (in.rank() != out.rank()) c.fail(invalid("the output has the rank of the input"));
  if (!c.b.status().ok()) return;
  for (size_t i = 0; i < lo.size(); i++) {
    const int at = in.rank() - 1 - static_cast<int>(i);
    x = c.b.gather(x, source_of(c, border, in[at], out[at], lo[i]).v, at);
  }
  c.finish(x);
}

template <Border border>
void lower_border_backward(OpContext& c) {  // grad, self, padding
  Expr g{&c.b, c.read_next()};
  c.args.tensor();
  const Shape in = c.output_shape();
  Shape shape = g.shape();
  std::vector<int64_t> lo = next_padding(c, border, in);
  if (in.rank() != shape.rank()) c.fail(invalid("the output has the rank of the gradient"));
  if (!c.b.status().ok()) return;
  g = g.to(compute_type(g.dtype()));
  for (size_t i = 0; i < lo.size(); i++) {
    const int at = in.rank() - 1 - static_cast<int>(i);
    Expr index = source_of(c, border, in[at], shape[at], lo[i]);
    shape[at] = in[at];
    ValueId zero = c.b.constant(0, g.dtype(), shape);
    g.v = c.b.scatter(ScatterKind::add, zero, index.v, g.v, at);
  }
  c.finish(g.v);
}

constexpr OpRow kRows[] = {
    {"constant_pad_nd", kAll, lower_constant_pad},
    {"reflection_pad1d", kFloats, lower_border<Border::mirror>},
    {"reflection_pad1d_backward", kFloats, lower_border_backward<Border::mirror>},
    {"reflection_pad2d", kFloats, lower_border<Border::mirror>},
    {"reflection_pad2d_backward", kFloats, lower_border_backward<Border::mirror>},
    {"reflection_pad3d", kFloats, lower_border<Border::mirror>},
    {"reflection_pad3d_backward", kFloats, lower_border_backward<Border::mirror>},
    {"replication_pad1d", kFloats, lower_border<Border::edge>},
    {"replication_pad1d_backward", kFloats, lower_border_backward<Border::edge>},
    {"replication_pad2d", kFloats, lower_border<Border::edge>},
    {"replication_pad2d_backward", kFloats, lower_border_backward<Border::edge>},
    {"replication_pad3d", kFloats, lower_border<Border::edge>},
    {"replication_pad3d_backward", kFloats, lower_border_backward<Border::edge>},
};

}  // namespace

std::span<const OpRow> pad_ops() { return kRows; }

}  // namespace moai::lower
