// Shape rules of operators on lists of tensors: the rule of one tensor, for each.
#include <ATen/MetaFunctions.h>
#include <ATen/ScalarOps.h>

#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {
namespace {

using at::Scalar;
using at::Tensor;
using at::TensorList;
using Tensors = std::vector<Tensor>;
using Scalars = at::ArrayRef<Scalar>;

Tensor number(const Scalar& s) {
  Tensor t = c10::scalar_to_tensor(s);
  t.unsafeGetTensorImpl()->set_wrapped_number(true);
  return t;
}

void check_lengths(size_t first, std::initializer_list<size_t> others) {
  for (size_t other : others)
    TORCH_CHECK(first == other, "Lists of tensors must have the same length, got ", first, " and ",
                other);
}

// f changes each tensor.
template <class F>
void each(TensorList list, F f) {
  for (size_t i = 0; i < list.size(); i++) f(const_cast<Tensor&>(list[i]), i);
}

template <class F>
Tensors map(TensorList list, F f) {
  Tensors results;
  for (size_t i = 0; i < list.size(); i++) results.push_back(f(list[i], i));
  return results;
}

void mul_scalar_(TensorList a, const Scalar& s) {
  each(a, [&](Tensor& t, size_t) { at::meta::mul_(t, number(s)); });
}
void add_scalar_(TensorList a, const Scalar& s) {
  each(a, [&](Tensor& t, size_t) { at::meta::add_(t, number(s), 1); });
}
void mul_tensor_(TensorList a, const Tensor& b) {
  each(a, [&](Tensor& t, size_t) { at::meta::mul_(t, b); });
}
void mul_list_(TensorList a, TensorList b) {
  check_lengths(a.size(), {b.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::mul_(t, b[i]); });
}
void div_list_(TensorList a, TensorList b) {
  check_lengths(a.size(), {b.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::div_(t, b[i]); });
}
void div_scalars_(TensorList a, Scalars s) {
  check_lengths(a.size(), {s.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::div_(t, number(s[i])); });
}
void add_list_(TensorList a, TensorList b, const Scalar& alpha) {
  check_lengths(a.size(), {b.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::add_(t, b[i], alpha); });
}
void lerp_scalar_(TensorList a, TensorList b, const Scalar& weight) {
  check_lengths(a.size(), {b.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::lerp_(t, b[i], weight); });
}
void addcmul_scalar_(TensorList a, TensorList b, TensorList c, const Scalar& value) {
  check_lengths(a.size(), {b.size(), c.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::addcmul_(t, b[i], c[i], value); });
}
void addcdiv_scalars_(TensorList a, TensorList b, TensorList c, Scalars s) {
  check_lengths(a.size(), {b.size(), c.size(), s.size()});
  each(a, [&](Tensor& t, size_t i) { at::meta::addcdiv_(t, b[i], c[i], s[i]); });
}
Tensors sqrt(TensorList a) {
  return map(a, [](const Tensor& t, size_t) { return at::meta::sqrt(t); });
}
Tensors norm(TensorList a, const Scalar& order, std::optional<at::ScalarType> dtype) {
  return map(a, [&](const Tensor& t, size_t) {
    return at::meta::linalg_vector_norm(t, order, at::IntArrayRef{}, false, dtype);
  });
}
Tensors add_list(TensorList a, TensorList b, const Scalar& alpha) {
  check_lengths(a.size(), {b.size()});
  return map(a, [&](const Tensor& t, size_t i) { return at::meta::add(t, b[i], alpha); });
}

}  // namespace

void add_list_rules(KernelTable& rules) {
  rules.add("_foreach_mul_.Scalar", &mul_scalar_);
  rules.add("_foreach_mul_.Tensor", &mul_tensor_);
  rules.add("_foreach_mul_.List", &mul_list_);
  rules.add("_foreach_add_.Scalar", &add_scalar_);
  rules.add("_foreach_add_.List", &add_list_);
  rules.add("_foreach_add.List", &add_list);
  rules.add("_foreach_div_.List", &div_list_);
  rules.add("_foreach_div_.ScalarList", &div_scalars_);
  rules.add("_foreach_lerp_.Scalar", &lerp_scalar_);
  rules.add("_foreach_addcmul_.Scalar", &addcmul_scalar_);
  rules.add("_foreach_addcdiv_.ScalarList", &addcdiv_scalars_);
  rules.add("_foreach_sqrt", &sqrt);
  rules.add("_foreach_norm.Scalar", &norm);
}

}  // namespace moai::bridge
