// Operands of an op as PyTorch sees them: tensors and numbers, type promotion, broadcasting.
#pragma once
#include <initializer_list>
#include <optional>
#include <vector>

#include "src/lower/expr.h"
#include "src/lower/op_context.h"

namespace moai::lower {

// A tensor or a Python number. A 0-dim tensor of the host arrives as a number too.
struct Operand {
  ir::ValueId value = ir::ValueId::none;
  wire::ScalarArg number;
  bool is_number = false;
  DType dtype = DType::f32;  // tensors
  Shape shape;               // tensors
};
Operand next_operand(OpContext& c);
std::optional<Operand> next_operand_optional(OpContext& c);
Operand operand_of(OpContext& c, ir::ValueId value);
Operand operand_of(const wire::ScalarArg& number);
std::vector<Operand> next_operands(OpContext& c, int count);
// A number that may be missing.
Operand next_number_or(OpContext& c, double fallback);

DType promote(DType a, DType b);
// The dtype that PyTorch computes in: dimensioned tensors over 0-dim ones over numbers.
// preferred: stands for the default dtype where a number decides the category.
DType result_type(std::span<const Operand> operands, DType preferred);
// The same for functions of real numbers: integers become the preferred float dtype.
DType real_result_type(std::span<const Operand> operands, DType preferred);
// f32 for f16 and bf16, which ATen widens inside an op.
DType compute_type(DType t);

// Tensors in their compute type: what is rounded once, at the end of the op.
Expr wide(OpContext& c, ir::ValueId value);
Expr wide_next(OpContext& c);
std::optional<Expr> wide_next_optional(OpContext& c);

// NumPy's rule; fails c where shapes do not fit.
Shape broadcast_shape(OpContext& c, const Shape& a, const Shape& b);
Shape common_shape(OpContext& c, std::span<const Operand> operands);
// All operands in dtype and shape.
Expr as(OpContext& c, const Operand& operand, DType dtype, const Shape& shape);

// Dimension numbers and sizes from arguments: negative ones wrap, the rest fails c.
int axis_of(OpContext& c, int64_t dim, int rank);
// Ascending; none or empty: all axes. A dimension named twice fails c.
Shape axes_of(OpContext& c, const std::optional<std::vector<int64_t>>& dims, int rank);
Shape shape_of(OpContext& c, std::span<const int64_t> sizes);

}  // namespace moai::lower
