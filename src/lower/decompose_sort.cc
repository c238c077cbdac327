// Sorting, selection by rank, and searches.
#include <algorithm>
#include <cmath>
#include <string>

#include "src/lower/pointwise.h"
#include "src/lower/reductions.h"

namespace moai::lower {
namespace {

using ir::ValueId;

void finish_pair(OpContext& c, ValueId values, ValueId indices) {
  const ValueId results[] = {values, indices};
  c.finish(results);
}

// True for a 0-dim tensor, which is its own sorted self.
bool finish_scalar(OpContext& c, ValueId x) {
  if (c.b.shape(x).rank() != 0) return false;
  finish_pair(c, x, c.b.constant_int(0, DType::i64));
  return true;
}

void finish_sort(OpContext& c, ValueId x) {  // dim, descending
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(-1) : -1, c.b.shape(x).rank());
  const bool is_descending = c.has_more() && c.args.integer_or(0) != 0;
  if (finish_scalar(c, x)) return;
  auto [values, indices] = c.b.sort(x, axis, is_descending);
  finish_pair(c, values, indices);
}

void lower_sort(OpContext& c) { finish_sort(c, c.read_next()); }
void lower_sort_stable(OpContext& c) {  // self, stable, dim, descending
  ValueId x = c.read_next();
  c.args.integer();
  finish_sort(c, x);
}

template <bool has_stable>
void lower_argsort(OpContext& c) {  // self [, stable], dim, descending
  ValueId x = c.read_next();
  if (has_stable) c.args.integer();
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(-1) : -1, c.b.shape(x).rank());
  const bool is_descending = c.has_more() && c.args.integer_or(0) != 0;
  if (c.b.shape(x).rank() == 0) return c.finish(c.b.constant_int(0, DType::i64));
  c.finish(c.b.sort(x, axis, is_descending).second);
}

void lower_topk(OpContext& c) {  // self, k, dim, largest, sorted
  ValueId x = c.read_next();
  const int64_t k = c.args.integer_or(1);
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(-1) : -1, c.b.shape(x).rank());
  const bool is_largest = !c.has_more() || c.args.integer_or(1) != 0;
  if (finish_scalar(c, x)) return;
  auto [values, indices] = c.b.topk(x, axis, k, is_largest);
  finish_pair(c, values, indices);
}

// Element k of each row of a sorted pair.
ValueId element(OpContext& c, ValueId sorted, int axis, int64_t k, bool keep) {
  if (!c.b.status().ok()) return ValueId::none;
  Shape size = c.b.shape(sorted), start = Shape::filled(size.rank(), 0);
  start[axis] = k;
  size[axis] = 1;
  ValueId v = c.b.slice(sorted, start, Shape::filled(size.rank(), 1), size);
  if (keep) return v;
  size.erase(axis);
  return c.b.reshape(v, size);
}

void lower_kthvalue(OpContext& c) {  // self, k, dim, keepdim
  ValueId x = c.read_next();
  const int64_t k = c.args.integer_or(1);
  const int axis = axis_of(c, c.has_more() ? c.args.integer_or(-1) : -1, c.b.shape(x).rank());
  const bool keep = c.has_more() && c.args.integer_or(0) != 0;
  if (finish_scalar(c, x)) return;
  if (k < 1 || k > c.b.shape(x)[axis]) return c.fail(invalid("k is outside the dimension"));
  auto [values, indices] = c.b.sort(x, axis, false);
  finish_pair(c, element(c, values, axis, k - 1, keep), element(c, indices, axis, k - 1, keep));
}

// The lower of two middle elements; a row with a NaN gives the NaN, which sorts last.
std::pair<ValueId, ValueId> median_of(OpContext& c, ValueId x, int axis, bool keep) {
  const int64_t n = c.b.shape(x)[axis];
  auto [values, indices] = c.b.sort(x, axis, false);
  Expr middle{&c.b, element(c, values, axis, (n - 1) / 2, keep)};
  Expr last{&c.b, element(c, values, axis, n - 1, keep)};
  Expr at{&c.b, element(c, indices, axis, (n - 1) / 2, keep)};
  Expr last_at{&c.b, element(c, indices, axis, n - 1, keep)};
  Expr is_bad = not_equal(last, last);
  return {select(is_bad, last, middle).v, select(is_bad, last_at, at).v};
}

void lower_median(OpContext& c) {
  ValueId x = c.read_next();
  const int64_t n = c.b.shape(x).numel();
  if (n == 0) return c.finish(c.b.constant(std::nan(""), c.b.dtype(x), {}));
  c.finish(median_of(c, c.b.reshape(x, {n}), 0, false).first);
}

void lower_median_dim(OpContext& c) {  // self, dim, keepdim
  ValueId x = c.read_next();
  const int axis = axis_of(c, c.args.integer_or(-1), c.b.shape(x).rank());
  const bool keep = c.has_more() && c.args.integer_or(0) != 0;
  if (finish_scalar(c, x)) return;
  if (c.b.shape(x)[axis] == 0) return c.fail(invalid("needs an element"));
  auto [values, indices] = median_of(c, x, axis, keep);
  finish_pair(c, values, indices);
}

// How many elements of each sorted row come before a value. rows: [.., n], values: [.., m] -> [..,
// m].
Expr count_before(Expr rows, Expr values, bool is_right) {
  const int axis = values.rank();
  Shape pairs = values.shape(), of_values, of_rows;
  pairs.push_back(rows.shape().back());
  for (int i = 0; i < axis; i++) of_values.push_back(i);
  for (int i = 0; i + 1 < rows.rank(); i++) of_rows.push_back(i);
  of_rows.push_back(axis);
  Expr r{rows.b, rows.b->broadcast_in_dim(rows.v, pairs, of_rows)};
  Expr v{rows.b, rows.b->broadcast_in_dim(values.v, pairs, of_values)};
  Expr is_before = is_right ? r <= v : r < v;
  return sum_of(is_before.to(DType::i64), {axis});
}

void finish_search(OpContext& c, const Operand& rows_in, const Operand& values_in, bool is_right) {
  const Operand both_in[] = {rows_in, values_in};
  DType t = result_type(both_in, rows_in.dtype);
  Expr rows = as(c, rows_in, t, rows_in.shape), values = as(c, values_in, t, values_in.shape);
  if (rows.rank() == 0 || (rows.rank() > 1 && rows.rank() != values.rank()) ||
      values.rank() >= kRankMax)
    return c.fail(invalid("the sorted sequence is a vector or has the rank of the values"));
  c.finish(count_before(rows, values, is_right).v);
}

void lower_searchsorted(OpContext& c) {  // sequence, values, out_int32, right, side, sorter
  Operand rows = next_operand(c), values = next_operand(c);
  c.args.integer();
  const bool is_right = c.args.integer_or(0) != 0;
  const bool says_right = c.has_more() && c.args.text() == "right";
  if (c.has_more()) {
    std::optional<ValueId> sorter = c.read_next_optional();
    if (sorter && rows.shape.rank() > 0)
      rows = operand_of(c, c.b.take_along(rows.value, *sorter, rows.shape.rank() - 1));
  }
  finish_search(c, rows, values, is_right || says_right);
}

void lower_bucketize(OpContext& c) {  // values, boundaries, out_int32, right
  Operand values = next_operand(c), rows = next_operand(c);
  c.args.integer();
  finish_search(c, rows, values, c.has_more() && c.args.integer_or(0) != 0);
}

void lower_isin(OpContext& c) {  // elements, test_elements, assume_unique, invert
  std::vector<Operand> operands = next_operands(c, 2);
  c.args.integer();
  const bool is_inverted = c.has_more() && c.args.integer_or(0) != 0;
  DType t = result_type(operands, c.output_dtype());
  Shape shape = operands[0].shape;
  Expr elements = as(c, operands[0], t, shape);
  Expr tests = as(c, operands[1], t, operands[1].shape);
  const int64_t n = shape.numel(), m = tests.shape().numel();
  Expr is_in = equal(elements.reshape({n, 1}).broadcast_to({n, m}),
                     tests.reshape({1, m}).broadcast_to({n, m}));
  Expr any = reduce(is_in, ReduceKind::any, {1}, false).reshape(shape);
  c.finish(is_inverted ? not_(any).v : any.v);
}

void lower_repeat_interleave(
    OpContext& c) {  // repeats, output_size -> which element each comes from
  Expr repeats{&c.b, c.b.convert(c.read_next(), DType::i64)};
  const Shape& shape = c.output_shape();
  if (repeats.rank() != 1 || shape.rank() != 1) return c.fail(invalid("takes a vector of counts"));
  Expr ends{&c.b, c.b.scan(ReduceKind::sum, repeats.v, 0)};
  if (!c.b.status().ok()) return;
  c.finish(count_before(ends, {&c.b, c.b.iota(0, DType::i64, shape)}, true).v);
}

constexpr OpRow kRows[] = {
    {"sort", kAll, lower_sort},
    {"sort.stable", kAll, lower_sort_stable},
    {"argsort", kAll, lower_argsort<false>},
    {"argsort.stable", kAll, lower_argsort<true>},
    {"topk", kAll, lower_topk},
    {"kthvalue", kNumbers, lower_kthvalue},
    {"median", kNumbers, lower_median},
    {"median.dim", kNumbers, lower_median_dim},
    {"searchsorted.Tensor", kNumbers, lower_searchsorted},
    {"searchsorted.Scalar", kNumbers, lower_searchsorted},
    {"bucketize.Tensor", kNumbers, lower_bucketize},
    {"bucketize.Scalar", kNumbers, lower_bucketize},
    {"isin.Tensor_Tensor", kNumbers, lower_isin},
    {"isin.Tensor_Scalar", kNumbers, lower_isin},
    {"isin.Scalar_Tensor", kNumbers, lower_isin},
    {"repeat_interleave.Tensor", kIntegers, lower_repeat_interleave},
};

}  // namespace

std::span<const OpRow> sort_ops() { return kRows; }

}  // namespace moai::lower
