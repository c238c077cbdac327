// Convolutions and their gradients. Each is one conv or conv_wgrad: a transposed convolution is the
// data gradient of the plain one.
#include "src/lower/operands.h"

namespace moai::lower {
namespace {

using ir::ValueId;

struct Geometry {
  Shape stride, padding, dilation, output_padding;
  bool is_transposed = false;
  int64_t groups = 1;
  int spatial = 1;
};

// One entry per spatial dimension; a single one stands for all.
Shape next_entries(OpContext& c, int spatial) {
  std::vector<int64_t> list = c.args.integers().value_or(std::vector<int64_t>{});
  if (list.size() == 1) return Shape::filled(spatial, list[0]);
  if (list.size() == static_cast<size_t>(spatial)) return Shape(std::span<const int64_t>(list));
  c.fail(invalid("stride, padding and dilation need one entry for each spatial dimension"));
  return Shape::filled(spatial, 1);
}

Geometry next_geometry(OpContext& c, const Shape& x, const Shape& w) {
  Geometry g;
  g.spatial = x.rank() - 2;
  if (g.spatial < 1 || g.spatial > 3 || w.rank() != x.rank()) {
    c.fail(invalid("takes input and weight of 1 to 3 spatial dimensions"));
    g.spatial = 1;
  }
  g.stride = next_entries(c, g.spatial);
  g.padding = next_entries(c, g.spatial);
  g.dilation = next_entries(c, g.spatial);
  for (int64_t& s : g.stride) {
    if (s >= 1) continue;
    c.fail(invalid("stride must be >= 1"));
    s = 1;
  }
  g.is_transposed = c.args.integer_or(0) != 0;
  g.output_padding = next_entries(c, g.spatial);
  g.groups = c.args.integer_or(1);
  if (g.groups < 1 || w[0] % g.groups) {
    c.fail(invalid("groups must divide the channels"));
    g.groups = 1;
  }
  return g;
}

// The plain convolution that takes an input of sizes `wide` to one of sizes `narrow`. Padding is
// even where that gives these sizes; a transposed convolution with output padding needs another one
// at the end.
ConvAttrs plain_attrs(const Geometry& g, const Shape& wide, const Shape& narrow, const Shape& w) {
  ConvAttrs a{g.stride, g.padding, {}, g.dilation, Shape::filled(g.spatial, 1), g.groups, false};
  for (int i = 0; i < g.spatial; i++) {
    const int64_t reach = (w[i + 2] - 1) * g.dilation[i] + 1;
    const int64_t room = wide[i + 2] + 2 * g.padding[i] - reach;
    const bool is_even = room >= 0 && room / g.stride[i] + 1 == narrow[i + 2];
    const int64_t exact = (narrow[i + 2] - 1) * g.stride[i] + reach - wide[i + 2] - g.padding[i];
    a.pad_hi.push_back(is_even ? g.padding[i] : exact);
  }
  return a;
}

// The way back: from `narrow` to `wide`, with the kernel read backwards.
ConvAttrs spread_attrs(const Geometry& g, const Shape& wide, const Shape& narrow, const Shape& w) {
  ConvAttrs a{Shape::filled(g.spatial, 1), {}, {}, g.dilation, g.stride, g.groups, true};
  for (int i = 0; i < g.spatial; i++) {
    const int64_t reach = (w[i + 2] - 1) * g.dilation[i];
    const int64_t dilated = narrow[i + 2] > 0 ? (narrow[i + 2] - 1) * g.stride[i] + 1 : 0;
    a.pad_lo.push_back(reach - g.padding[i]);
    a.pad_hi.push_back(wide[i + 2] - dilated + g.padding[i]);
  }
  return a;
}

// [g*a, b, ...] to [g*b, a, ...]: what maps channels a to b, the other way round.
ValueId swap_channels(OpContext& c, ValueId w, int64_t groups) {
  const Shape from = c.b.shape(w);
  Shape split{groups, from[0] / groups, from[1]}, perm{0, 2, 1},
      to{groups * from[1], from[0] / groups};
  for (int i = 2; i < from.rank(); i++) {
    split.push_back(from[i]);
    perm.push_back(i + 1);
    to.push_back(from[i]);
  }
  return c.b.reshape(c.b.transpose(c.b.reshape(w, split), perm), to);
}

void lower_convolution(OpContext& c) {  // input, weight, bias, stride, padding, dilation, ...
  ValueId x = c.read_next(), w = c.read_next();
  std::optional<ValueId> bias = c.read_next_optional();
  const Shape sx = c.b.shape(x), sw = c.b.shape(w), out = c.output_shape();
  Geometry g = next_geometry(c, sx, sw);
  if (out.rank() != sx.rank()) c.fail(invalid("the output has the rank of the input"));
  if (!c.b.status().ok()) return;
  ValueId y = g.is_transposed
                  ? c.b.conv(x, swap_channels(c, w, g.groups), spread_attrs(g, out, sx, sw))
                  : c.b.conv(x, w, plain_attrs(g, sx, out, sw));
  if (bias)
    y = c.b.binary(Prim::add, y, c.b.broadcast_in_dim(c.b.convert(*bias, c.b.dtype(y)), out, {1}));
  c.finish(y);
}

// grad, input, weight, bias sizes, stride, padding, dilation, transposed, output padding, groups,
// mask
void lower_convolution_backward(OpContext& c) {
  ValueId dy = c.read_next(), x = c.read_next(), w = c.read_next();
  const Shape sy = c.b.shape(dy), sx = c.b.shape(x), sw = c.b.shape(w);
  c.args.integers();
  Geometry g = next_geometry(c, sx, sw);
  std::vector<int64_t> mask = c.args.integers().value_or(std::vector<int64_t>{});
  if (mask.size() != 3 || sy.rank() != sx.rank()) c.fail(invalid("needs a mask of three outputs"));
  if (!c.b.status().ok()) return;
  ValueId results[] = {ValueId::none, ValueId::none, ValueId::none};
  const ConvAttrs down = g.is_transposed ? plain_attrs(g, sy, sx, sw) : plain_attrs(g, sx, sy, sw);
  if (mask[0])
    results[0] = g.is_transposed
                     ? c.b.conv(dy, w, down)
                     : c.b.conv(dy, swap_channels(c, w, g.groups), spread_attrs(g, sx, sy, sw));
  if (mask[1])
    results[1] =
        g.is_transposed ? c.b.conv_wgrad(dy, x, down, sw) : c.b.conv_wgrad(x, dy, down, sw);
  if (mask[2]) {
    Shape axes{0};
    for (int i = 2; i < sy.rank(); i++) axes.push_back(i);
    results[2] = c.b.reduce(ReduceKind::sum, dy, axes);
  }
  c.finish(results);
}

constexpr OpRow kRows[] = {
    {"convolution", kFloats, lower_convolution},
    {"convolution_backward", kFloats, lower_convolution_backward},
};

}  // namespace

std::span<const OpRow> conv_ops() { return kRows; }

}  // namespace moai::lower
