// Factories, fills, copies and casts. Sizes and dtype come from the output the client allocated.
#include "src/lower/op_context.h"
#include "src/lower/operands.h"

namespace moai::lower {
namespace {

void fill_with(OpContext& c, double value) {
  c.finish(c.b.constant(value, c.output_dtype(), c.output_shape()));
}

void lower_zeros(OpContext& c) { fill_with(c, 0); }
void lower_ones(OpContext& c) { fill_with(c, 1); }

void fill_from(OpContext& c, const Operand& value) {
  DType t = c.output_dtype();
  c.finish(as(c, value, t, c.output_shape()).v);
}

void lower_fill(OpContext& c) {  // self, value
  c.args.tensor();
  fill_from(c, next_operand(c));
}

void lower_full(OpContext& c) {  // size, value
  c.args.integers();
  fill_from(c, next_operand(c));
}

void lower_new_full(OpContext& c) {  // self, size, value
  c.args.tensor();
  lower_full(c);
}

void lower_scalar_tensor(OpContext& c) { fill_from(c, next_operand(c)); }

// What an allocation holds nobody may rely on: nothing is written.
void lower_empty(OpContext&) {}

void lower_copy(OpContext& c) {  // self, src
  c.args.tensor();
  fill_from(c, next_operand(c));
}

void lower_clone(OpContext& c) { fill_from(c, next_operand(c)); }

// start + i * step: in i64 for integers, else in f64 as ATen accumulates.
void progression(OpContext& c, const Operand& start, const Operand& step) {
  DType t = c.output_dtype();
  const Shape& shape = c.output_shape();
  if (shape.rank() != 1) return c.fail(invalid("the output of a range has one dimension"));
  auto is_real = [](const Operand& o) { return o.number.kind == wire::ScalarArg::Kind::real; };
  DType wide = is_float(t) || is_real(start) || is_real(step) ? DType::f64 : DType::i64;
  Expr i{&c.b, c.b.iota(0, wide, shape)};
  c.finish((as(c, start, wide, shape) + i * as(c, step, wide, shape)).v);
}

Operand whole(int64_t v) {
  wire::ScalarArg s;
  s.kind = wire::ScalarArg::Kind::integer;
  s.i = v;
  s.f = static_cast<double>(v);
  return operand_of(s);
}

void lower_arange(OpContext& c) { progression(c, whole(0), whole(1)); }
void lower_arange_start(OpContext& c) { progression(c, next_operand(c), whole(1)); }
void lower_arange_step(OpContext& c) {
  Operand start = next_operand(c);
  next_operand(c);  // end: the client sized the output with it
  progression(c, start, next_operand(c));
}

// Start and end are read. From both ends to the middle, so that the last element is exactly `end`.
Expr next_linspace(OpContext& c) {
  Operand start = next_operand(c), end = next_operand(c);
  DType t = c.output_dtype();
  Shape shape = c.output_shape();
  if (shape.rank() != 1) c.fail(invalid("the output of a range has one dimension"));
  DType wide = t == DType::f64 || !is_float(t) ? DType::f64 : DType::f32;
  Expr first = as(c, start, wide, shape), last = as(c, end, wide, shape);
  if (!c.b.status().ok() || shape[0] <= 1) return first;
  const auto n = static_cast<double>(shape[0]);
  Expr step = (last - first) / (n - 1);
  Expr i{&c.b, c.b.iota(0, wide, shape)};
  Expr up = first + i * step, down = last - step * ((n - 1) - i);
  return select(i < static_cast<double>(shape[0] / 2), up, down);
}

void lower_linspace(OpContext& c) { c.finish(next_linspace(c).v); }  // start, end, steps

void lower_logspace(OpContext& c) {  // start, end, steps, base
  Expr exponents = next_linspace(c);
  c.args.integer();
  Operand base = next_operand(c);
  if (!c.b.status().ok()) return;
  c.finish(power(as(c, base, exponents.dtype(), exponents.shape()), exponents).v);
}

// i64: column minus row of the last two axes.
Expr diagonal_number(OpContext& c, const Shape& shape) {
  const int r = shape.rank();
  Expr col{&c.b, c.b.iota(r - 1, DType::i64, shape)}, row{&c.b, c.b.iota(r - 2, DType::i64, shape)};
  return col - row;
}

void lower_eye(OpContext& c) {
  Shape shape = c.output_shape();
  if (shape.rank() != 2) return c.fail(invalid("the output has two dimensions"));
  c.finish(equal(diagonal_number(c, shape), 0).to(c.output_dtype()).v);
}

void triangle(OpContext& c, bool is_lower) {  // self, diagonal
  Expr x{&c.b, c.read_next()};
  const auto k = static_cast<double>(c.args.integer_or(0));
  if (x.rank() < 2) return c.fail(invalid("needs a tensor of two dimensions or more"));
  Expr d = diagonal_number(c, x.shape());
  c.finish(select(is_lower ? d <= k : d >= k, x, 0).v);
}
void lower_tril(OpContext& c) { triangle(c, true); }
void lower_triu(OpContext& c) { triangle(c, false); }

constexpr OpRow kRows[] = {
    {"fill.Scalar", kAll, lower_fill},
    {"fill.Tensor", kAll, lower_fill},
    {"fill_.Scalar", kAll, lower_fill},
    {"fill_.Tensor", kAll, lower_fill},
    {"zero", kAll, lower_zeros},
    {"zero_", kAll, lower_zeros},
    {"zeros", kAll, lower_zeros},
    {"zeros_like", kAll, lower_zeros},
    {"new_zeros", kAll, lower_zeros},
    {"ones", kAll, lower_ones},
    {"ones_like", kAll, lower_ones},
    {"new_ones", kAll, lower_ones},
    {"full", kAll, lower_full},
    {"new_full", kAll, lower_new_full},
    {"full_like", kAll, lower_fill},
    {"scalar_tensor", kAll, lower_scalar_tensor},
    {"empty.memory_format", kAll, lower_empty},
    {"empty_like", kAll, lower_empty},
    {"empty_strided", kAll, lower_empty},
    {"new_empty", kAll, lower_empty},
    {"new_empty_strided", kAll, lower_empty},
    {"copy", kAll, lower_copy},
    {"copy_", kAll, lower_copy},
    {"_to_copy", kAll, lower_clone},
    {"clone", kAll, lower_clone},
    {"lift_fresh_copy", kAll, lower_clone},
    {"contiguous", kAll, lower_clone},
    {"arange", kAll, lower_arange},
    {"arange.start", kAll, lower_arange_start},
    {"arange.start_step", kAll, lower_arange_step},
    {"linspace", kAll, lower_linspace},
    {"linspace.Tensor_Tensor", kAll, lower_linspace},
    {"linspace.Tensor_Scalar", kAll, lower_linspace},
    {"linspace.Scalar_Tensor", kAll, lower_linspace},
    {"logspace", kAll, lower_logspace},
    {"logspace.Tensor_Tensor", kAll, lower_logspace},
    {"logspace.Tensor_Scalar", kAll, lower_logspace},
    {"logspace.Scalar_Tensor", kAll, lower_logspace},
    {"eye", kAll, lower_eye},
    {"eye.m", kAll, lower_eye},
    {"tril", kAll, lower_tril},
    {"triu", kAll, lower_triu},
};

}  // namespace

std::span<const OpRow> create_ops() { return kRows; }

}  // namespace moai::lower
