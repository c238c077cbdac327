// Reading and writing through index tensors.
#include "src/lower/indexing.h"

#include <optional>
#include <string>
#include <string_view>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// -- one axis

void lower_index_select(OpContext& c) {  // self, dim, index
  Indexed x = read_indexed(c);
  Expr index = as_list(c.read_next(), c);
  c.finish(c.b.reshape(c.b.gather(x.base.v, index.v, x.axis), c.output_shape()));
}

void lower_index_add(OpContext& c) {  // self, dim, index, source, alpha
  Indexed x = read_indexed(c);
  Expr index = as_list(c.read_next(), c);
  Expr source = x.like(c, c.read_next());
  if (c.has_more()) {
    Operand alpha = next_number_or(c, 1);
    source = mul_of(source, as(c, alpha, source.dtype(), source.shape()));
  }
  x.finish(c, scatter(ScatterKind::add, x.base, index, source, x.axis));
}

void lower_index_copy(OpContext& c) {  // self, dim, index, source
  Indexed x = read_indexed(c);
  Expr index = as_list(c.read_next(), c);
  x.finish(c, scatter(ScatterKind::set, x.base, index, x.like(c, c.read_next()), x.axis));
}

void lower_index_fill(OpContext& c) {  // self, dim, index, value
  Indexed x = read_indexed(c);
  Expr index = wrap(as_list(c.read_next(), c), x.base.shape()[x.axis]);
  Operand value = next_operand(c);
  Shape shape = x.base.shape();
  shape[x.axis] = index.shape()[0];
  x.finish(c,
           scatter(ScatterKind::set, x.base, index, as(c, value, x.base.dtype(), shape), x.axis));
}

void lower_index_reduce(OpContext& c) {  // self, dim, index, source, reduce, include_self
  Indexed x = read_indexed(c);
  Expr index = as_list(c.read_next(), c);
  Expr source = x.like(c, c.read_next());
  std::string_view kind = c.args.text();
  const bool include_self = !c.has_more() || c.args.integer_or(1) != 0;
  // The index of every element of the source, so that this is the other kind of scatter.
  Shape along{x.axis};
  Expr wide{&c.b, c.b.broadcast_in_dim(index.v, source.shape(), along)};
  x.finish(c, scatter_reduce(c, x.base, wide, source, x.axis, kind, include_self));
}

// -- along one axis

void lower_gather(OpContext& c) {  // self, dim, index
  Indexed x = read_indexed(c);
  ValueId given = c.read_next();
  if (c.b.shape(given).numel() == 0)
    return c.finish(c.b.constant(0, x.base.dtype(), c.output_shape()));
  Expr index = x.ranked(c, given);
  Shape size = x.covered(c, index.shape());
  if (!c.b.status().ok()) return;
  Shape none = Shape::filled(size.rank(), 0), every = Shape::filled(size.rank(), 1);
  ValueId part = c.b.slice(x.base.v, none, every, size);
  c.finish(c.b.reshape(c.b.take_along(part, index.v, x.axis), c.output_shape()));
}

// self, dim, index are read; the source follows as tensor or number.
struct Scattered {
  Indexed x;
  Expr index, source;
};

Scattered read_scattered(OpContext& c) {
  Scattered s{read_indexed(c), {}, {}};
  s.index = {&c.b, c.read_next()};
  Operand source = next_operand(c);
  if (s.index.shape().numel() == 0) return s;  // of any rank
  s.index = s.x.ranked(c, s.index.v);
  const Shape& shape = s.index.shape();
  if (source.is_number) {
    s.source = as(c, source, s.x.base.dtype(), shape);
    return s;
  }
  s.source = s.x.ranked(c, cast(c.b, source.value, s.x.base.dtype()));
  bool fits = s.source.rank() == shape.rank();
  for (int i = 0; fits && i < shape.rank(); i++) fits = shape[i] <= s.source.shape()[i];
  if (!fits)
    c.fail(invalid("its index is larger than its source"));
  else
    s.source = {&c.b, c.b.slice(s.source.v, Shape::filled(shape.rank(), 0),
                                Shape::filled(shape.rank(), 1), shape)};
  return s;
}

void finish_scattered(OpContext& c, const Scattered& s, std::string_view kind, bool include_self) {
  if (!c.b.status().ok()) return;
  if (s.index.shape().numel() == 0) return s.x.finish(c, s.x.base);
  // What the index cannot reach stays as it is.
  Shape size = s.x.covered(c, s.index.shape()), none = Shape::filled(size.rank(), 0);
  Shape every = Shape::filled(size.rank(), 1);
  if (!c.b.status().ok()) return;
  Expr part{&c.b, c.b.slice(s.x.base.v, none, every, size)};
  Expr changed = scatter_reduce(c, part, s.index, s.source, s.x.axis, kind, include_self);
  s.x.finish(c, {&c.b, c.b.update_slice(s.x.base.v, changed.v, none, every)});
}

void lower_scatter(OpContext& c) { finish_scattered(c, read_scattered(c), "set", true); }
void lower_scatter_add(OpContext& c) { finish_scattered(c, read_scattered(c), "sum", true); }
void lower_scatter_reduce(OpContext& c) {  // ..., reduce [, include_self]
  Scattered s = read_scattered(c);
  std::string_view kind = c.args.text();
  if (kind == "add") kind = "sum";
  if (kind == "multiply") kind = "prod";
  const bool include_self = !c.has_more() || c.args.integer_or(1) != 0;
  finish_scattered(c, s, kind, include_self);
}

// -- flat

void lower_take(OpContext& c) {  // self, index
  Expr x{&c.b, c.read_next()}, index{&c.b, c.read_next()};
  Shape shape = index.shape();
  x = x.reshape({x.shape().numel()});
  index = wrap(index.reshape({shape.numel()}), x.shape()[0]);
  c.finish(c.b.reshape(c.b.gather(x.v, index.v, 0), shape));
}

void lower_put(OpContext& c) {  // self, index, source, accumulate
  Expr x{&c.b, c.read_next()}, index{&c.b, c.read_next()};
  Expr source{&c.b, cast(c.b, c.read_next(), x.dtype())};
  const bool accumulate = c.has_more() && c.args.integer_or(0) != 0;
  Shape shape = x.shape();
  x = x.reshape({shape.numel()});
  index = wrap(index.reshape({index.shape().numel()}), shape.numel());
  source = source.reshape(index.shape());
  c.finish(scatter(accumulate ? ScatterKind::add : ScatterKind::set, x, index, source, 0)
               .reshape(shape)
               .v);
}

void lower_masked_scatter(OpContext& c) {  // self, mask, source
  Operand self = next_operand(c), mask_in = next_operand(c);
  Expr source{&c.b, cast(c.b, c.read_next(), self.dtype)};
  Shape shape = broadcast_shape(c, self.shape, mask_in.shape);
  Expr x = as(c, self, self.dtype, shape);
  const int64_t n = source.shape().numel();
  if (n == 0 || shape.numel() == 0) return c.finish(x.v);
  Expr mask = true_of(as(c, mask_in, mask_in.dtype, shape)).reshape({shape.numel()});
  Expr taken{&c.b, c.b.scan(ReduceKind::sum, mask.to(DType::i64).v, 0)};
  Expr at = minimum(maximum(taken - 1.0, 0), static_cast<double>(n - 1));
  Expr values{&c.b, c.b.gather(source.reshape({n}).v, at.v, 0)};
  c.finish(select(mask.reshape(shape), values.reshape(shape), x).v);
}

void lower_nonzero_static(OpContext& c) {  // self, size, fill_value
  Expr x{&c.b, c.read_next()};
  const int64_t size = c.args.integer_or(0);
  const auto fill = static_cast<double>(c.has_more() ? c.args.integer_or(-1) : -1);
  if (size < 0 || size > (int64_t{1} << 40)) return c.fail(invalid("needs a size of 0 or more"));
  const bool is_scalar = x.rank() == 0;
  if (is_scalar) x = x.reshape({1});
  Expr flags = true_of(x);
  Expr places{&c.b, c.b.nonzero(flags.v, size)};
  Shape shape = places.shape();
  Shape axes = axes_of(c, std::nullopt, x.rank());
  Expr count = sum_of(flags.to(DType::i64), axes).broadcast_to(shape);
  Expr row{&c.b, c.b.iota(0, DType::i64, shape)};
  places = select(row < count, places, fill);
  if (is_scalar) places = {&c.b, c.b.slice(places.v, {0, 0}, {1, 1}, {size, 0})};
  c.finish(places.v);
}

constexpr OpRow kRows[] = {
    {"index_select", kAll, lower_index_select},
    {"index_add", kAll, lower_index_add},
    {"index_copy", kAll, lower_index_copy},
    {"index_fill.int_Scalar", kAll, lower_index_fill},
    {"index_fill.int_Tensor", kAll, lower_index_fill},
    {"index_reduce", kNumbers, lower_index_reduce},
    {"gather", kAll, lower_gather},
    {"scatter.src", kAll, lower_scatter},
    {"scatter.value", kAll, lower_scatter},
    {"scatter.reduce", kNumbers, lower_scatter_reduce},
    {"scatter.value_reduce", kNumbers, lower_scatter_reduce},
    {"scatter_add", kAll, lower_scatter_add},
    {"scatter_reduce.two", kNumbers, lower_scatter_reduce},
    {"take", kAll, lower_take},
    {"put", kAll, lower_put},
    {"masked_scatter", kAll, lower_masked_scatter},
    {"nonzero_static", kAll, lower_nonzero_static},
};

}  // namespace

std::span<const OpRow> index_ops() { return kRows; }

}  // namespace moai::lower
