// Exceptions that a schema does not tell, by operator.
#include "src/frontend/bridge/op_tables.h"

#include <algorithm>
#include <initializer_list>

namespace moai::bridge {
namespace {

bool is_one_of(std::string_view s, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), s) != list.end();
}

}  // namespace

bool is_structural_number(std::string_view op, std::string_view argument) {
  std::string_view base = op.substr(0, op.find('.'));
  if (is_one_of(base, {"arange", "range", "linspace", "logspace"})) return true;
  if (base.starts_with("upsample_") || base.starts_with("_upsample_")) return true;
  if (is_one_of(base, {"_cdist_forward", "_cdist_backward", "_pdist_forward", "linalg_vector_norm",
                       "norm", "_foreach_norm", "renorm"}))
    return is_one_of(argument, {"p", "ord"});
  // They choose the kernel.
  if (base.starts_with("_scaled_dot_product_fused_attention_overrideable"))
    return is_one_of(argument, {"dropout_p", "scale"});
  if (op == "pow.Tensor_Scalar") return argument == "exponent";
  return argument == "correction";
}

bool is_structural_when_one(std::string_view argument) {
  return is_one_of(argument, {"alpha", "beta"});
}

bool adds_random_word_at_end(std::string_view op) {
  return is_one_of(op, {"native_dropout", "_scaled_dot_product_fused_attention_overrideable"});
}

bool is_never_taken_apart(std::string_view op) {
  // The others end in PyTorch's tables of kernels by device, where this device has no entry.
  return is_one_of(op, {"convolution", "convolution_backward", "mode", "conj_physical"});
}

bool takes_host_tensors(std::string_view name) {
  name = name.substr(0, name.find('.'));
  return name.starts_with("aten::_foreach_") || name.starts_with("aten::_fused_") ||
         is_one_of(name, {"aten::index", "aten::_unsafe_index", "aten::index_put",
                          "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index_put",
                          "aten::_ctc_loss", "aten::_pack_padded_sequence"});
}

const std::vector<const char*>& whole_ops() {
  static const std::vector<const char*> ops = {
      // Composite kernels that cannot run here (is_never_taken_apart).
      "mode.values", "conj_physical_",
      // Lowered whole.
      "cummax", "cummin",
      // Composite kernels would send their parts.
      "convolution", "convolution_backward", "native_layer_norm", "native_group_norm",
      "native_group_norm_backward", "embedding", "stack", "masked_fill.Scalar",
      "masked_fill.Tensor", "where.ScalarSelf", "fill.Scalar", "fill.Tensor", "select_backward",
      "slice_backward", "constant_pad_nd", "repeat", "flip", "roll", "_softmax",
      "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data", "softplus",
      "binary_cross_entropy", "rsub.Scalar", "rsub.Tensor", "add.Scalar", "sub.Scalar",
      "mul.Scalar", "div.Scalar", "add_.Scalar", "sub_.Scalar", "mul_.Scalar", "div_.Scalar",
      "scalar_tensor", "one_hot", "logsumexp", "_safe_softmax",
      // Structured operators: the default kernel of PyTorch would infer twice and call the out=
      // form.
      "add.Tensor", "add_.Tensor", "sub.Tensor", "sub_.Tensor", "mul.Tensor", "mul_.Tensor",
      "div.Tensor", "div_.Tensor", "div.Tensor_mode", "pow.Tensor_Scalar", "pow.Tensor_Tensor",
      "pow.Scalar", "maximum", "minimum", "addmm", "mm", "bmm", "baddbmm", "addcmul", "addcdiv",
      "addcmul_", "addcdiv_", "lerp.Scalar", "lerp.Tensor", "sum.dim_IntList", "mean.dim", "mean",
      "sum", "prod", "amax", "amin", "max", "min", "max.dim", "min.dim", "argmax", "argmin", "all",
      "any", "all.dim", "any.dim", "cumsum", "cumprod", "linalg_vector_norm", "var.correction",
      "var_mean.correction", "exp", "log", "log1p", "log2", "expm1", "sqrt", "rsqrt", "sin", "cos",
      "tan", "tanh", "sigmoid", "erf", "erfc", "neg", "abs", "sign", "sgn", "floor", "ceil",
      "round", "trunc", "reciprocal", "square", "logical_not", "logical_and", "logical_or",
      "logical_xor", "bitwise_and.Tensor", "bitwise_or.Tensor", "bitwise_xor.Tensor", "bitwise_not",
      "exp_", "sqrt_", "rsqrt_", "neg_", "abs_", "sigmoid_", "tanh_", "relu", "relu_", "gelu",
      "gelu_backward", "silu", "silu_", "silu_backward", "leaky_relu", "leaky_relu_",
      "leaky_relu_backward", "elu", "elu_backward", "hardtanh", "hardswish", "hardsigmoid", "mish",
      "mish_backward", "threshold", "threshold_backward", "tanh_backward", "sigmoid_backward",
      "softplus_backward", "clamp", "clamp_", "clamp.Tensor", "clamp_min", "clamp_max",
      "clamp_min_", "clamp_max_", "eq.Tensor", "eq.Scalar", "ne.Tensor", "ne.Scalar", "lt.Tensor",
      "lt.Scalar", "le.Tensor", "le.Scalar", "gt.Tensor", "gt.Scalar", "ge.Tensor", "ge.Scalar",
      "remainder.Tensor", "remainder.Scalar", "fmod.Tensor", "fmod.Scalar", "atan2", "where.self",
      "cat", "gather", "scatter.src", "scatter.value", "scatter_.src", "scatter_.value",
      "scatter_add", "scatter_add_", "scatter_reduce.two", "index_select", "index_add",
      "index_add_", "topk", "sort.stable", "tril", "triu", "tril_", "triu_", "isin.Tensor_Tensor",
      "nll_loss_forward", "nll_loss_backward", "mse_loss", "mse_loss_backward", "smooth_l1_loss",
      "huber_loss", "max_pool2d_with_indices", "max_pool2d_with_indices_backward", "avg_pool2d",
      "avg_pool2d_backward", "adaptive_max_pool2d", "upsample_nearest2d",
      "upsample_nearest2d_backward", "upsample_bilinear2d", "upsample_bilinear2d_backward",
      "reflection_pad2d", "replication_pad2d", "fill_.Scalar", "fill_.Tensor", "zero_",
      "normal_functional", "erfinv", "erfinv_", "nan_to_num", "isnan", "isinf", "glu",
      "xlogy.Tensor"};
  return ops;
}

}  // namespace moai::bridge
