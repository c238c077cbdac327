// Shape rules of layers: recurrent cells, dropout, normalization, convolution.
#include <ATen/ExpandUtils.h>
#include <ATen/native/ConvUtils.h>
#include <ATen/native/layer_norm.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/native_layer_norm_backward.h>

#include <array>
#include <tuple>

#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {
namespace {

using at::IntArrayRef;
using at::Tensor;
using Optional = std::optional<Tensor>;
using Triple = std::tuple<Tensor, Tensor, Tensor>;
constexpr auto kContiguous = at::MemoryFormat::Contiguous;

// at::empty_like is Python on the Meta key.
Tensor like(const Tensor& t, at::ScalarType dtype) {
  if (t.is_non_overlapping_and_dense())
    return at::empty_strided(t.sizes(), t.strides(), t.options().dtype(dtype));
  return at::empty_strided(t.sizes(), at::infer_dense_strides(t.sizes(), t.strides()),
                           t.options().dtype(dtype));
}
Tensor like(const Tensor& t) { return like(t, t.scalar_type()); }
Tensor contiguous_like(const Tensor& t) { return at::empty(t.sizes(), t.options()); }

Tensor or_none(const Optional& t) { return t.value_or(Tensor()); }

std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor&, const Tensor& hx,
                                    const Optional&, const Optional&) {
  return {contiguous_like(hx), at::empty({hx.size(0), hx.size(1) * 5}, input_gates.options())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad,
                                                                     const Tensor& workspace,
                                                                     bool has_bias) {
  int64_t rows = grad.size(0), gates = grad.size(1) * 3;
  Tensor bias = has_bias ? at::empty({gates}, workspace.options()) : Tensor();
  Tensor bias2 = has_bias ? at::empty({gates}, workspace.options()) : Tensor();
  return {at::empty({rows, gates}, workspace.options()),
          at::empty({rows, gates}, workspace.options()), contiguous_like(grad), bias, bias2};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor&,
                                             const Tensor& cx, const Optional&, const Optional&) {
  return {contiguous_like(cx), contiguous_like(cx), contiguous_like(input_gates)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const Optional&, const Optional&,
                                                      const Tensor& cx, const Tensor&,
                                                      const Tensor& workspace, bool has_bias) {
  return {like(workspace), contiguous_like(cx),
          has_bias ? at::empty({workspace.size(1)}, workspace.options()) : Tensor()};
}

std::tuple<Tensor, Tensor> dropout(const Tensor& input, double, std::optional<bool>) {
  return {like(input), like(input, at::kBool)};
}

// Statistics are saved only while training.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& input, const Optional&, const Optional&,
                                              const Optional&, const Optional&, bool is_training,
                                              double, double) {
  int64_t channels = is_training ? input.size(1) : 0;
  auto dtype = input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  auto options = input.options().dtype(dtype);
  return {like(input), at::empty({channels}, options), at::empty({channels}, options)};
}

Tensor dropout_backward(const Tensor& grad, const Tensor&, double) { return like(grad); }

Triple batch_norm_backward(const Tensor&, const Tensor& input, const Optional& weight,
                           const Optional&, const Optional&, const Optional&, const Optional&, bool,
                           double, std::array<bool, 3> mask) {
  auto dtype = or_none(weight).defined() ? weight->scalar_type() : input.scalar_type();
  auto channels = [&](bool wanted) {
    return wanted ? at::empty({input.size(1)}, input.options().dtype(dtype)) : Tensor();
  };
  return {mask[0] ? like(input) : Tensor(), channels(mask[1]), channels(mask[2])};
}

Triple layer_norm(const Tensor& input, IntArrayRef normalized, const Optional& weight,
                  const Optional& bias, double) {
  at::native::_check_layer_norm_inputs(input, normalized, or_none(weight), or_none(bias));
  c10::DimVector sizes(input.sizes());
  for (size_t i = sizes.size() - normalized.size(); i < sizes.size(); i++) sizes[i] = 1;
  bool is_short = input.scalar_type() == at::kHalf || input.scalar_type() == at::kBFloat16;
  auto options = input.options().dtype(is_short ? at::kFloat : input.scalar_type());
  return {contiguous_like(input), at::empty(sizes, options), at::empty(sizes, options)};
}

Triple layer_norm_backward(const Tensor& grad, const Tensor& input, IntArrayRef normalized,
                           const Tensor& mean, const Tensor& rstd, const Optional& weight,
                           const Optional& bias, std::array<bool, 3> mask) {
  auto other_dtype = [&](const Optional& t) {
    return or_none(t).defined() && t->scalar_type() != input.scalar_type();
  };
  if (other_dtype(weight) || other_dtype(bias))
    return at::native_layer_norm_backward(grad, input, normalized, mean, rstd, weight, bias, mask);
  auto wanted_like = [](bool wanted, const Optional& t) {
    return wanted && or_none(t).defined() ? contiguous_like(*t) : Tensor();
  };
  return {mask[0] ? contiguous_like(input) : Tensor(), wanted_like(mask[1], weight),
          wanted_like(mask[2], bias)};
}

// The padded input takes the kernel, and each list has a number for every dimension.
bool is_regular(const Tensor& input, const Tensor& weight, IntArrayRef stride, IntArrayRef padding,
                IntArrayRef dilation, int64_t groups) {
  auto rank = static_cast<size_t>(input.dim());
  if (rank < 3 || weight.dim() != input.dim() || stride.size() != rank - 2 ||
      padding.size() != rank - 2 || dilation.size() != rank - 2 || input.numel() == 0 ||
      weight.size(1) * groups != input.size(1))
    return false;
  for (size_t i = 0; i < rank - 2; i++) {
    int64_t at = static_cast<int64_t>(i) + 2;
    if (stride[i] <= 0 || input.size(at) + 2 * padding[i] < dilation[i] * (weight.size(at) - 1) + 1)
      return false;
  }
  return true;
}

// What the Meta kernel lets pass and every kernel refuses.
void check_convolution(const Tensor& input, const Tensor& weight, IntArrayRef padding,
                       IntArrayRef dilation) {
  TORCH_CHECK(input.scalar_type() == weight.scalar_type(), "Input type (", input.scalar_type(),
              ") and weight type (", weight.scalar_type(), ") should be the same");
  for (int64_t p : padding) TORCH_CHECK(p >= 0, "negative padding is not supported, got ", padding);
  for (int64_t d : dilation)
    TORCH_CHECK(d > 0, "dilation should be greater than zero, got ", dilation);
}

Tensor convolution(const Tensor& input, const Tensor& weight, const Optional& bias,
                   IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                   bool is_transposed, IntArrayRef output_padding, int64_t groups) {
  check_convolution(input, weight, padding, dilation);
  if (is_transposed || !is_regular(input, weight, stride, padding, dilation, groups))
    return at::convolution(input, weight, bias, stride, padding, dilation, is_transposed,
                           output_padding, groups);
  return at::empty(
      at::native::conv_output_size(input.sizes(), weight.sizes(), padding, stride, dilation),
      input.options());
}

bool is_channels_last(const Tensor& t, at::MemoryFormat format) {
  return t.suggest_memory_format() == format;
}

Triple convolution_backward(const Tensor& grad, const Tensor& input, const Tensor& weight,
                            at::OptionalIntArrayRef bias_sizes, IntArrayRef stride,
                            IntArrayRef padding, IntArrayRef dilation, bool is_transposed,
                            IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  if (mask[2] && !bias_sizes)
    return at::convolution_backward(grad, input, weight, bias_sizes, stride, padding, dilation,
                                    is_transposed, output_padding, groups, mask);
  auto format = kContiguous;
  for (auto last : {at::MemoryFormat::ChannelsLast3d, at::MemoryFormat::ChannelsLast})
    if (is_channels_last(input, last) || is_channels_last(weight, last)) format = last;
  auto formatted = [&](bool wanted, const Tensor& t) {
    return wanted ? at::empty(t.sizes(), grad.options(), format) : Tensor();
  };
  return {formatted(mask[0], input), formatted(mask[1], weight),
          mask[2] ? at::empty(*bias_sizes, grad.options()) : Tensor()};
}

}  // namespace

void add_network_rules(KernelTable& rules) {
  rules.add("_thnn_fused_gru_cell", &gru_cell);
  rules.add("_thnn_fused_gru_cell_backward", &gru_cell_backward);
  rules.add("_thnn_fused_lstm_cell", &lstm_cell);
  rules.add("_thnn_fused_lstm_cell_backward_impl", &lstm_cell_backward);
  rules.add("native_batch_norm", &batch_norm);
  rules.add("native_batch_norm_backward", &batch_norm_backward);
  rules.add("native_dropout", &dropout);
  rules.add("native_dropout_backward", &dropout_backward);
  rules.add("native_layer_norm", &layer_norm);
  rules.add("native_layer_norm_backward", &layer_norm_backward);
  rules.add("convolution", &convolution);
  rules.add("convolution_backward", &convolution_backward);
}

}  // namespace moai::bridge
