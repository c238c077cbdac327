// Shape rules of structured operators: PyTorch's own in C++, which the Meta key hides behind Python
// ones.
#include <ATen/MetaFunctions.h>
#include <ATen/Operators.h>
#include <ATen/ScalarOps.h>
#include <ATen/ops/_safe_softmax.h>
#include <ATen/ops/empty.h>

#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {
namespace {

using at::Scalar;
using at::Tensor;
using Dtype = std::optional<at::ScalarType>;

// The schema picks the overload of at::meta::NAME.
template <class Op>
void add(KernelTable& rules, typename Op::schema* f) {
  std::string name = std::string(Op::name).substr(sizeof "aten::" - 1);
  if (*Op::overload_name) name += std::string(".") + Op::overload_name;
  rules.add(std::move(name), f);
}

Tensor number(const Scalar& s) {
  Tensor t = c10::scalar_to_tensor(s);
  t.unsafeGetTensorImpl()->set_wrapped_number(true);
  return t;
}

Tensor add_number(const Tensor& t, const Scalar& s, const Scalar& alpha) {
  return at::meta::add(t, number(s), alpha);
}
Tensor sub_number(const Tensor& t, const Scalar& s, const Scalar& alpha) {
  return at::meta::sub(t, number(s), alpha);
}
Tensor mul_number(const Tensor& t, const Scalar& s) { return at::meta::mul(t, number(s)); }
Tensor div_number(const Tensor& t, const Scalar& s) { return at::meta::div(t, number(s)); }
Tensor rsub_number(const Tensor& t, const Scalar& s, const Scalar& alpha) {
  return at::meta::sub(t, number(s), alpha);
}
Tensor remainder_number(const Tensor& t, const Scalar& s) {
  return at::meta::remainder(t, number(s));
}
Tensor fmod_number(const Tensor& t, const Scalar& s) { return at::meta::fmod(t, number(s)); }
Tensor div_number_mode(const Tensor& t, const Scalar& s, std::optional<std::string_view> mode) {
  return at::meta::div(t, number(s), mode);
}
Tensor safe_softmax(const Tensor& self, int64_t dim, std::optional<at::ScalarType> dtype) {
  if (!self.is_floating_point()) return at::_safe_softmax(self, dim, dtype);
  const Tensor of =
      at::empty(self.sizes(), self.options().dtype(dtype.value_or(self.scalar_type())));
  return at::meta::_softmax(of, dim, /*half_to_float=*/false);
}
Tensor sum_all(const Tensor& t, Dtype dtype) {
  return at::meta::sum(t, at::IntArrayRef{}, false, dtype);
}
Tensor mean_all(const Tensor& t, Dtype dtype) {
  return at::meta::mean(t, at::IntArrayRef{}, false, dtype);
}
// The largest or smallest of all elements.
Tensor extreme_of_all(const Tensor& t) {
  TORCH_CHECK(
      t.numel() > 0,
      "max() and min() of a tensor without elements have no result; name the dimension to reduce");
  return at::meta::amax(t, {}, false);
}
Tensor relu(const Tensor& t) { return at::meta::clamp_min(t, 0); }
Tensor& relu_(Tensor& t) { return at::meta::clamp_min_(t, 0); }

}  // namespace

void add_structured_rules(KernelTable& rules) {
#define MOAI_STRUCTURED(op) add<at::_ops::op>(rules, &at::meta::op);
#define MOAI_STRUCTURED_OVERLOAD(op, overload) add<at::_ops::op##_##overload>(rules, &at::meta::op);
#define MOAI_STRUCTURED_OUT(op) add<at::_ops::op##_out>(rules, &at::meta::op##_outf);
#include "src/frontend/bridge/structured_ops.def"
#undef MOAI_STRUCTURED
#undef MOAI_STRUCTURED_OVERLOAD
#undef MOAI_STRUCTURED_OUT
  rules.add("add.Scalar", &add_number);
  rules.add("sub.Scalar", &sub_number);
  rules.add("mul.Scalar", &mul_number);
  rules.add("div.Scalar", &div_number);
  rules.add("rsub.Scalar", &rsub_number);
  rules.add("remainder.Scalar", &remainder_number);
  rules.add("fmod.Scalar", &fmod_number);
  rules.add("div.Scalar_mode", &div_number_mode);
  rules.add("_safe_softmax", &safe_softmax);
  rules.add("sum", &sum_all);
  rules.add("mean", &mean_all);
  rules.add("max", &extreme_of_all);
  rules.add("min", &extreme_of_all);
  rules.add("relu", &relu);
  rules.add("relu_", &relu_);
  // SymInt in the operator, integers in the rule.
  rules.add("cat", &at::meta::cat);
  rules.add("topk", &at::meta::topk);
  rules.add("tril", &at::meta::tril);
  rules.add("triu", &at::meta::triu);
  rules.add("tril_", &at::meta::tril_);
  rules.add("triu_", &at::meta::triu_);
  rules.add("nll_loss_forward", &at::meta::nll_loss_forward);
  rules.add("nll_loss_backward", &at::meta::nll_loss_backward);
}

}  // namespace moai::bridge
