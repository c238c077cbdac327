// Attention as one operator: PyTorch's "overrideable" backend, with a bias and its gradient.
#include <ATen/EmptyTensor.h>
#include <ATen/SDPBackend.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>

#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/copy.h"
#include "src/frontend/bridge/encode.h"
#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/kernels.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using at::Tensor;
constexpr const char* kForward = "aten::_scaled_dot_product_fused_attention_overrideable";
constexpr const char* kBackward = "aten::_scaled_dot_product_fused_attention_overrideable_backward";

const OpInfo& info_of(const char* name) {
  return op_info(c10::Dispatcher::singleton().findSchemaOrThrow(name, ""));
}
const OpInfo& forward_info() {
  static const OpInfo& info = info_of(kForward);
  return info;
}
const OpInfo& backward_info() {
  static const OpInfo& info = info_of(kBackward);
  return info;
}

// Whole where the server has both directions; else PyTorch's composite of matmul and softmax.
int64_t choose(const Tensor& query, const Tensor& key, const Tensor& value,
               const std::optional<Tensor>&, double, bool, std::optional<double>, bool is_grouped) {
  bool whole = query.dim() == 4 && key.dim() == 4 && value.dim() == 4 && is_expressible(query);
  // What does not fit the composite refuses in PyTorch's words.
  whole = whole && key.size(0) == query.size(0) && key.size(3) == query.size(3) &&
          value.sizes().slice(0, 3) == key.sizes().slice(0, 3);
  if (whole && is_grouped)  // a head of keys and values for a group of the query's heads
    whole = key.size(1) > 0 && query.size(1) % key.size(1) == 0;
  else if (whole)
    whole = key.size(1) == query.size(1);
  if (whole) {
    DType dtype = *dtype_of(query.scalar_type());
    whole = forward_info().is_supported(dtype) && backward_info().is_supported(dtype);
  }
  return static_cast<int64_t>(whole ? at::SDPBackend::overrideable : at::SDPBackend::math);
}

Tensor host_zero() {
  Tensor t = at::Tensor(
      at::detail::empty_generic({}, c10::GetCPUAllocator(), kCpuKeys, c10::kLong, std::nullopt));
  *t.mutable_data_ptr<int64_t>() = 0;
  return t;
}

using ForwardResult =
    std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt, Tensor, Tensor, Tensor>;

// Seed and offset of the dropout mask are results of the op, which its backward reads: outputs 6
// and 7, in the order of the schema. Without dropout they are numbers that nobody reads.
ForwardResult forward(const Tensor& query, const Tensor& key, const Tensor& value,
                      const std::optional<Tensor>& bias, double dropout, bool is_causal,
                      bool return_mask, std::optional<double> scale) {
  const OpInfo& info = forward_info();
  c10::DimVector rows(query.sizes().slice(0, query.dim() - 1)), sizes(rows);
  sizes.push_back(value.size(-1));
  // Rows of heads lie together in memory, so that the transpose that follows is dense.
  c10::DimVector strides = {sizes[1] * sizes[2] * sizes[3], sizes[3], sizes[1] * sizes[3], 1};
  Tensor out = empty_device(sizes, strides, query.scalar_type());
  Tensor sums =
      empty_device(rows, query.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat);
  std::array<c10::IValue, 8> arguments{query,   key,       value,       bias,
                                       dropout, is_causal, return_mask, scale};
  check_devices(info, arguments);
  TORCH_CHECK_NOT_IMPLEMENTED(can_encode(info, arguments),
                              "[attention] an operand cannot be sent to the device");
  uint64_t words =
      dropout > 0 ? static_cast<uint64_t>(query.numel() / query.size(-1) * key.size(-2)) : 0;
  RandomState random = draw({}, words);
  std::array<Tensor, 8> outputs{out, sums};
  if (dropout > 0) {
    outputs[6] = empty_device({}, c10::kLong);
    outputs[7] = empty_device({}, c10::kLong);
  }
  record_random(info, arguments, outputs, random);
  return {out,
          sums,
          Tensor(),
          Tensor(),
          query.sym_size(-2),
          key.sym_size(-2),
          dropout > 0 ? outputs[6] : host_zero(),
          dropout > 0 ? outputs[7] : host_zero(),
          Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& bias, std::array<bool, 4> wanted, const Tensor& out, const Tensor& sums,
    const Tensor& starts_q, const Tensor& starts_k, c10::SymInt max_q, c10::SymInt max_k,
    double dropout, bool is_causal, const Tensor& seed, const Tensor& offset,
    std::optional<double> scale) {
  auto like = [&](const Tensor& t, bool is_wanted) {
    return is_wanted && t.defined() ? empty_device(t.sizes(), t.scalar_type()) : Tensor();
  };
  std::array<Tensor, 4> grads{like(query, wanted[0]), like(key, wanted[1]), like(value, wanted[2]),
                              like(bias, wanted[3])};
  Tensor drawn_seed = dropout > 0 ? seed : Tensor(), drawn_offset = dropout > 0 ? offset : Tensor();
  c10::List<bool> mask;
  for (bool w : wanted) mask.push_back(w);
  std::array<c10::IValue, 17> arguments{grad,
                                        query,
                                        key,
                                        value,
                                        bias,
                                        mask,
                                        out,
                                        sums,
                                        starts_q,
                                        starts_k,
                                        max_q.expect_int(),
                                        max_k.expect_int(),
                                        dropout,
                                        is_causal,
                                        drawn_seed,
                                        drawn_offset,
                                        scale};
  check_devices(backward_info(), arguments);
  record(backward_info(), arguments, grads);
  return {grads[0], grads[1], grads[2], grads[3]};
}

}  // namespace

void register_attention(torch::Library& lib) {
  at::native::_fused_sdp_choice_stub.set_cuda_dispatch_ptr(&choose);
  lib.impl("_scaled_dot_product_fused_attention_overrideable", TORCH_FN(forward));
  lib.impl("_scaled_dot_product_fused_attention_overrideable_backward", TORCH_FN(backward));
}

}  // namespace moai::bridge
