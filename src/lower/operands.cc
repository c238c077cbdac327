#include "src/lower/operands.h"

#include <algorithm>
#include <string>

namespace moai::lower {
namespace {

using ir::ValueId;
using wire::ScalarArg;

DType dtype_of(const ScalarArg& s, DType preferred) {
  switch (s.kind) {
    case ScalarArg::Kind::boolean: return DType::boolean;
    case ScalarArg::Kind::integer: return DType::i64;
    default: return is_float(preferred) ? preferred : DType::f32;
  }
}

// What a lower class of operands adds to the type of a higher one.
std::optional<DType> combine(std::optional<DType> higher, std::optional<DType> lower) {
  if (!higher || !lower) return higher ? higher : lower;
  if (is_float(*higher)) return higher;
  if (*higher == DType::boolean || is_float(*lower)) return promote(*higher, *lower);
  return higher;
}

}  // namespace

Operand operand_of(OpContext& c, ValueId value) {
  Operand o;
  o.value = value;
  o.dtype = c.b.dtype(value);
  o.shape = c.b.shape(value);
  return o;
}

Operand operand_of(const ScalarArg& number) {
  Operand o;
  o.number = number;
  o.is_number = true;
  return o;
}

std::optional<Operand> next_operand_optional(OpContext& c) {
  if (c.args.peek() == wire::Tag::tensor) return operand_of(c, c.read_next());
  std::optional<ScalarArg> s = c.args.scalar();
  if (!s) return std::nullopt;
  return operand_of(*s);
}

Operand next_operand(OpContext& c) {
  if (auto o = next_operand_optional(c)) return *o;
  c.fail(invalid("an operand is None; the op needs it"));
  return {};
}

std::vector<Operand> next_operands(OpContext& c, int count) {
  std::vector<Operand> list;
  for (int i = 0; i < count; i++) list.push_back(next_operand(c));
  return list;
}

Operand next_number_or(OpContext& c, double fallback) {
  if (auto o = next_operand_optional(c)) return *o;
  ScalarArg s;
  s.f = fallback;
  s.i = static_cast<int64_t>(fallback);
  if (static_cast<double>(s.i) == fallback) s.kind = ScalarArg::Kind::integer;
  return operand_of(s);
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  if (is_float(a)) {
    const bool halves = size_of(a) == 2 && size_of(b) == 2;
    return halves ? DType::f32 : std::min(a, b);
  }
  if (a == DType::u8 || b == DType::u8) {
    DType other = a == DType::u8 ? b : a;
    return other == DType::i8 ? DType::i16 : other;
  }
  return std::min(a, b);  // the enum lists wide before narrow
}

DType result_type(std::span<const Operand> operands, DType preferred) {
  std::optional<DType> classes[3];  // dimensioned, 0-dim, numbers
  for (const Operand& o : operands) {
    auto& into = classes[o.is_number ? 2 : o.shape.rank() == 0 ? 1 : 0];
    DType t = o.is_number ? dtype_of(o.number, preferred) : o.dtype;
    into = into ? promote(*into, t) : t;
  }
  return combine(classes[0], combine(classes[1], classes[2])).value_or(preferred);
}

DType real_result_type(std::span<const Operand> operands, DType preferred) {
  DType t = result_type(operands, preferred);
  if (is_float(t)) return t;
  return is_float(preferred) ? preferred : DType::f32;
}

DType compute_type(DType t) { return is_float(t) && size_of(t) == 2 ? DType::f32 : t; }

// Elements a tensor may have; products of what a peer says must not overflow.
constexpr int64_t kElementsMax = int64_t{1} << 60;

static bool is_sound(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) {
    if (d < 0 || __builtin_mul_overflow(n, std::max<int64_t>(d, 1), &n) || n > kElementsMax)
      return false;
  }
  return true;
}

Expr wide(OpContext& c, ir::ValueId value) {
  return Expr{&c.b, value}.to(compute_type(c.b.dtype(value)));
}
Expr wide_next(OpContext& c) { return wide(c, c.read_next()); }
std::optional<Expr> wide_next_optional(OpContext& c) {
  auto value = c.read_next_optional();
  if (!value) return std::nullopt;
  return wide(c, *value);
}

Shape broadcast_shape(OpContext& c, const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  for (int i = 0; i < shorter.rank(); i++) {
    int64_t& d = result[longer.rank() - shorter.rank() + i];
    if (d == 1)
      d = shorter[i];
    else if (shorter[i] != 1 && shorter[i] != d)
      c.fail(invalid("sizes " + std::to_string(d) + " and " + std::to_string(shorter[i]) +
                     " do not broadcast together"));
  }
  if (is_sound(result)) return result;
  c.fail(invalid("the operands broadcast to too many elements"));
  return {};
}

Shape common_shape(OpContext& c, std::span<const Operand> operands) {
  Shape shape;
  for (const Operand& o : operands)
    if (!o.is_number) shape = broadcast_shape(c, shape, o.shape);
  return shape;
}

Expr as(OpContext& c, const Operand& o, DType dtype, const Shape& shape) {
  if (o.is_number) return {&c.b, c.scalar(o.number, dtype, shape)};
  return {&c.b, c.b.broadcast_to(cast(c.b, o.value, dtype), shape)};
}

int axis_of(OpContext& c, int64_t dim, int rank) {
  const int64_t n = std::max(rank, 1);
  if (dim < -n || dim >= n) {
    c.fail(invalid("dimension " + std::to_string(dim) + " is outside a tensor of rank " +
                   std::to_string(rank)));
    return 0;
  }
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

Shape axes_of(OpContext& c, const std::optional<std::vector<int64_t>>& dims, int rank) {
  std::vector<bool> named(static_cast<size_t>(std::max(rank, 1)), !dims || dims->empty());
  if (dims) {
    for (int64_t d : *dims) {
      auto at = static_cast<size_t>(axis_of(c, d, rank));
      if (named[at]) c.fail(invalid("dimension " + std::to_string(d) + " is named twice"));
      named[at] = true;
    }
  }
  Shape axes;
  for (int i = 0; i < rank; i++)
    if (named[static_cast<size_t>(i)]) axes.push_back(i);
  return axes;
}

Shape shape_of(OpContext& c, std::span<const int64_t> sizes) {
  if (sizes.size() > static_cast<size_t>(kRankMax)) {
    c.fail(unimplemented("a tensor of rank " + std::to_string(sizes.size()) +
                         " is not supported, only up to " + std::to_string(kRankMax) +
                         "; run this operator on the CPU: x.cpu()"));
    return {};
  }
  Shape shape(sizes);
  if (is_sound(shape)) return shape;
  c.fail(invalid("a size is negative or too large"));
  return {};
}

}  // namespace moai::lower
