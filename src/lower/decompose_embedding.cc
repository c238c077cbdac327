// Tables of rows: lookup and its gradient.
#include "src/lower/operands.h"

namespace moai::lower {
namespace {

using ir::ValueId;

void lower_embedding(OpContext& c) {  // weight, indices; the rest speaks of the gradient
  ValueId weight = c.read_next(), index = c.read_next();
  c.finish(c.b.gather(weight, index, 0));
}

// grad, indices, rows, padding_idx, scale_grad_by_freq
void lower_embedding_backward(OpContext& c) {
  Expr g{&c.b, c.read_next()}, index{&c.b, c.read_next()};
  const int64_t rows = c.args.integer_or(0), padding = c.args.integer_or(-1);
  const bool is_scaled = c.args.integer_or(0) != 0;
  if (!c.b.status().ok()) return;
  if (g.rank() == 0 || rows < 0) return c.fail(invalid("needs rows of gradients and a row count"));
  const int64_t count = index.shape().numel();
  const Shape flat{count, g.shape().back()};
  g = g.to(compute_type(g.dtype())).reshape(flat);
  index = index.reshape({count});
  auto column = [&](Expr v) { return Expr{&c.b, c.b.broadcast_in_dim(v.v, flat, {0})}; };
  if (is_scaled) {
    Expr one{&c.b, c.b.constant(1, g.dtype(), {count})};
    ValueId zero = c.b.constant(0, g.dtype(), {rows});
    ValueId uses = c.b.scatter(ScatterKind::add, zero, index.v, one.v, 0);
    g = g / column({&c.b, c.b.gather(uses, index.v, 0)});
  }
  if (padding >= 0) g = select(column(equal(index, static_cast<double>(padding))), 0, g);
  ValueId base = c.b.constant(0, g.dtype(), {rows, flat[1]});
  c.finish(c.b.scatter(ScatterKind::add, base, index.v, g.v, 0));
}

constexpr OpRow kRows[] = {
    {"embedding", kAll, lower_embedding},
    {"embedding_dense_backward", kFloats, lower_embedding_backward},
};

}  // namespace

std::span<const OpRow> embedding_ops() { return kRows; }

}  // namespace moai::lower
