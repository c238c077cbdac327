// Shape rules of operators that compute element by element and have no structured form in PyTorch:
// their Meta kernels are Python, which costs a millisecond at every new size.
#include <ATen/TensorIterator.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/fill.h>
#include <ATen/ops/floor_divide.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <initializer_list>

#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {
namespace {

using at::Scalar;
using at::Tensor;

// The sizes broadcast, the strides as PyTorch's iterator chooses them.
Tensor iterated(at::ScalarType dtype, std::initializer_list<const Tensor*> operands) {
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false).check_all_same_dtype(false).allow_cpu_scalars(true);
  config.declare_static_dtype(dtype).add_owned_output(Tensor());
  for (const Tensor* t : operands) config.add_const_input(*t);
  return config.build().output();
}

Tensor logical_not(const Tensor& a) { return iterated(at::kBool, {&a}); }
Tensor logical(const Tensor& a, const Tensor& b) { return iterated(at::kBool, {&a, &b}); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  if (condition.scalar_type() != at::kBool) return at::where(condition, a, b);
  return iterated(at::result_type(a, b), {&condition, &a, &b});
}

Tensor abs(const Tensor& a) {
  return a.is_complex() ? at::abs(a) : iterated(a.scalar_type(), {&a});
}

Tensor floor_divide(const Tensor& a, const Tensor& b) {
  const at::ScalarType dtype = at::result_type(a, b);
  if (dtype == at::kBool || at::isComplexType(dtype)) return at::floor_divide(a, b);
  return iterated(dtype, {&a, &b});
}

Tensor fill_number(const Tensor& a, const Scalar&) { return iterated(a.scalar_type(), {&a}); }
Tensor fill(const Tensor& a, const Tensor& value) {
  return value.dim() == 0 ? iterated(a.scalar_type(), {&a}) : at::fill(a, value);
}

// Numbers that follow each other: all forms of the operator end here.
Tensor& arange_out(const Scalar& start, const Scalar& end, const Scalar& step, Tensor& out) {
  const bool is_whole = start.isIntegral(false) && end.isIntegral(false) && step.isIntegral(false);
  const double count = std::ceil((end.toDouble() - start.toDouble()) / step.toDouble());
  // Beyond 2^52 a double does not count exactly.
  if (!is_whole || !(count >= 0 && count < 0x1p52)) return at::arange_out(out, start, end, step);
  out.resize_({static_cast<int64_t>(count)});
  return out;
}

}  // namespace

void add_pointwise_rules(KernelTable& rules) {
  rules.add("logical_not", &logical_not);
  for (const char* name : {"logical_and", "logical_or", "logical_xor"}) rules.add(name, &logical);
  rules.add("where.self", &where);
  rules.add("abs", &abs);
  rules.add("floor_divide", &floor_divide);
  rules.add("fill.Scalar", &fill_number);
  rules.add("fill.Tensor", &fill);
  rules.add("arange.start_out", &arange_out);
}

}  // namespace moai::bridge
