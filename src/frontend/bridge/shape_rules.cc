// Hand rules for operators without a Meta kernel.
#include "src/frontend/bridge/shape_rules.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/boxing/impl/make_boxed_from_unboxed_functor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <array>
#include <map>
#include <string>
#include <tuple>

namespace moai::bridge {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor&, const Tensor& hx, const Optional&,
                                    const Optional&) {
  return {at::empty_like(hx, at::MemoryFormat::Contiguous),
          at::empty({hx.size(0), hx.size(1) * 5}, input_gates.options())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad, const Tensor& workspace,
                                                                     bool has_bias) {
  int64_t rows = grad.size(0), gates = grad.size(1) * 3;
  Tensor bias = has_bias ? at::empty({gates}, workspace.options()) : Tensor();
  Tensor bias2 = has_bias ? at::empty({gates}, workspace.options()) : Tensor();
  return {at::empty({rows, gates}, workspace.options()), at::empty({rows, gates}, workspace.options()),
          at::empty_like(grad, at::MemoryFormat::Contiguous), bias, bias2};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor&, const Tensor& cx,
                                             const Optional&, const Optional&) {
  return {at::empty_like(cx, at::MemoryFormat::Contiguous), at::empty_like(cx, at::MemoryFormat::Contiguous),
          at::empty_like(input_gates, at::MemoryFormat::Contiguous)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const Optional&, const Optional&, const Tensor& cx,
                                                      const Tensor&, const Tensor& workspace, bool has_bias) {
  return {at::empty_like(workspace), at::empty_like(cx, at::MemoryFormat::Contiguous),
          has_bias ? at::empty({workspace.size(1)}, workspace.options()) : Tensor()};
}

std::tuple<Tensor, Tensor> dropout(const Tensor& input, double, std::optional<bool>) {
  return {at::empty_like(input), at::empty_like(input, input.options().dtype(at::kBool))};
}

// Statistics are saved only while training.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& input, const Optional&, const Optional&, const Optional&,
                                              const Optional&, bool is_training, double, double) {
  int64_t channels = is_training ? input.size(1) : 0;
  auto dtype = input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  auto options = input.options().dtype(dtype);
  return {at::empty_like(input), at::empty({channels}, options), at::empty({channels}, options)};
}

using Rules = std::map<std::string, c10::KernelFunction, std::less<>>;
template <class F>
c10::KernelFunction boxed(F* f) {
  return c10::KernelFunction::makeFromUnboxedRuntimeFunction(f);
}

const Rules& rules() {
  static const auto* r = new Rules{
      {"_thnn_fused_gru_cell", boxed(&gru_cell)},
      {"_thnn_fused_gru_cell_backward", boxed(&gru_cell_backward)},
      {"_thnn_fused_lstm_cell", boxed(&lstm_cell)},
      {"_thnn_fused_lstm_cell_backward_impl", boxed(&lstm_cell_backward)},
      {"native_batch_norm", boxed(&batch_norm)},
      {"native_dropout", boxed(&dropout)},
  };
  return *r;
}

}  // namespace

const c10::KernelFunction* shape_rule_of(std::string_view name) {
  auto it = rules().find(name);
  return it == rules().end() ? nullptr : &it->second;
}

}  // namespace moai::bridge
