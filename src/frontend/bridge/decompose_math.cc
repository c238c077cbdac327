// Operators that a few others compute.
#include <ATen/OpMathType.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/add.h>
#include <ATen/ops/broadcast_tensors.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/le.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/roll.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "src/frontend/bridge/decompose.h"

namespace moai::bridge {
namespace {

using at::IntArrayRef;
using at::Scalar;
using at::Tensor;
using Optional = std::optional<Tensor>;

Tensor cross(const Tensor& self, const Tensor& other, int64_t dim) {
  TORCH_CHECK(self.dim() == other.dim(),
              "linalg.cross: inputs must have the same number of dimensions.");
  TORCH_CHECK(self.size(dim) == 3 && other.size(dim) == 3, "linalg.cross: inputs dimension ", dim,
              " must have length 3. Got ", self.size(dim), " and ", other.size(dim));
  std::vector<Tensor> both = at::broadcast_tensors({self, other});
  auto turned = [&](const Tensor& t, int64_t by) { return at::roll(t, {-by}, {dim}); };
  return at::sub(at::mul(turned(both[0], 1), turned(both[1], 2)),
                 at::mul(turned(both[0], 2), turned(both[1], 1)));
}

// [.., n, m]: the p-norm of the difference of each pair of rows.
Tensor cdist(const Tensor& a, const Tensor& b, double p, std::optional<int64_t>) {
  return at::linalg_vector_norm(at::sub(a.unsqueeze(-2), b.unsqueeze(-3)), p, {-1});
}

Tensor cdist_backward(const Tensor& grad, const Tensor& a, const Tensor& b, double p,
                      const Tensor& distance) {
  if (p == 0 || a.numel() == 0) return at::zeros_like(a);
  Tensor difference = at::sub(a.unsqueeze(-2), b.unsqueeze(-3));
  Tensor g = grad.unsqueeze(-1), d = distance.unsqueeze(-1), slope;
  if (p == 1) {
    slope = at::sign(difference);
  } else if (std::isinf(p)) {
    slope = at::mul(at::sign(difference), at::eq(at::abs(difference), d));
  } else if (p == 2) {
    slope = at::div(difference, d);
  } else {
    Tensor ratio = at::pow(at::div(at::abs(difference), d), p - 1);
    slope = at::mul(at::sign(difference), ratio);
  }
  Tensor moved = at::where(at::eq(d, 0), at::zeros({}, slope.options()), slope);
  return at::sum(at::mul(g, moved), {-2}, false);
}

Tensor renorm(const Tensor& self, const Scalar& p, int64_t dim, const Scalar& largest) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  std::vector<int64_t> others;
  for (int64_t d = 0; d < self.dim(); d++)
    if (d != dim) others.push_back(d);
  TORCH_CHECK(!others.empty(), "renorm: input needs at least 2 dimensions, got ", self.dim(),
              " dimensions");
  Tensor norm = at::linalg_vector_norm(self, p, others, true, at::toOpMathType(self.scalar_type()));
  Tensor factor =
      at::where(at::gt(norm, largest), at::mul(at::reciprocal(at::add(norm, 1e-7)), largest),
                at::ones_like(norm));
  return at::mul(self, factor.to(self.scalar_type()));
}

// Rows of `weight` that `indices` name, made no longer than `largest`.
Tensor embedding_renorm(const Tensor& weight, const Tensor& indices, double largest, double p) {
  Tensor norm = at::linalg_vector_norm(weight, p, {1}, true);
  Tensor named = at::zeros({weight.size(0)}, weight.options().dtype(at::kBool))
                     .index_fill(0, indices.reshape({-1}), 1)
                     .unsqueeze(1);
  Tensor factor = at::mul(at::reciprocal(at::add(norm, 1e-7)), largest);
  return at::where(at::logical_and(named, at::gt(norm, largest)), at::mul(weight, factor), weight);
}

Tensor channel_shuffle(const Tensor& self, int64_t groups) {
  TORCH_CHECK(self.dim() > 2,
              "channel_shuffle expects input with > 2 dims, but got input with sizes ",
              self.sizes());
  int64_t channels = self.size(1);
  TORCH_CHECK(groups > 0, "Number of groups to divide channels in must be positive.",
              " Value of groups:", groups);
  TORCH_CHECK(channels % groups == 0, "Number of channels must be divisible by groups. Got ",
              channels, " channels and ", groups, " groups.");
  std::vector<int64_t> split(self.sizes().vec());
  split[1] = groups;
  split.insert(split.begin() + 2, channels / groups);
  return self.reshape(split).transpose(1, 2).reshape(self.sizes());
}

// A plane of zeros but for the elements at `indices`. spatial: how many last axes are the plane.
Tensor unpooled(const Tensor& self, const Tensor& indices, IntArrayRef plane) {
  std::vector<int64_t> sizes(self.sizes().vec());
  sizes.resize(sizes.size() - plane.size());
  const auto kept = static_cast<int64_t>(sizes.size());
  int64_t elements = 1;
  for (int64_t s : plane) elements *= s;
  sizes.push_back(elements);
  Tensor flat =
      at::scatter(at::zeros(sizes, self.options()), -1, indices.flatten(kept), self.flatten(kept));
  sizes.pop_back();
  sizes.insert(sizes.end(), plane.begin(), plane.end());
  return flat.reshape(sizes);
}

void check_unpool(const Tensor& self, const Tensor& indices, IntArrayRef size, size_t spatial) {
  TORCH_CHECK(indices.scalar_type() == at::kLong,
              "elements in indices should be type int64 but got: ", indices.scalar_type());
  TORCH_CHECK(size.size() == spatial, "There should be exactly ", spatial,
              " elements in output_size, but got ", size.size(), " elements.");
  TORCH_CHECK(self.sizes() == indices.sizes(),
              "Expected shape of indices to be same as that of the input tensor (", self.sizes(),
              ") but got indices tensor with shape: ", indices.sizes());
}

Tensor max_unpool2d(const Tensor& self, const Tensor& indices, IntArrayRef size) {
  check_unpool(self, indices, size, 2);
  return unpooled(self, indices, size);
}

Tensor max_unpool3d(const Tensor& self, const Tensor& indices, IntArrayRef size, IntArrayRef,
                    IntArrayRef) {
  check_unpool(self, indices, size, 3);
  return unpooled(self, indices, size);
}

// `noise` takes the slope that each element was multiplied by.
Tensor rrelu_with_noise(const Tensor& self, Tensor& noise, const Scalar& lower, const Scalar& upper,
                        bool is_training, std::optional<at::Generator> generator) {
  if (!is_training) return at::leaky_relu(self, (lower.toDouble() + upper.toDouble()) / 2);
  Tensor slope = at::empty_like(self).uniform_(lower.toDouble(), upper.toDouble(), generator);
  noise.copy_(at::where(at::le(self, 0), slope, at::ones_like(self)));
  return at::mul(self, noise);
}

using Three = std::tuple<Tensor, Tensor, Tensor>;

Three batch_norm(const Tensor& input, const Optional& weight, const Optional& bias, Tensor& mean,
                 Tensor& variance, bool is_training, double momentum, double epsilon) {
  return at::native_batch_norm(input, weight, bias, mean, variance, is_training, momentum, epsilon);
}

Three batch_norm_without_statistics(const Tensor& input, const Optional& weight,
                                    const Optional& bias, bool is_training, double momentum,
                                    double epsilon) {
  return at::native_batch_norm(input, weight, bias, {}, {}, is_training, momentum, epsilon);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> batch_norm_with_update(const Tensor& input,
                                                                  const Optional& weight,
                                                                  const Optional& bias,
                                                                  Tensor& mean, Tensor& variance,
                                                                  double momentum, double epsilon) {
  auto [y, saved_mean, saved_inverse] =
      at::native_batch_norm(input, weight, bias, mean, variance, true, momentum, epsilon);
  return {y, saved_mean, saved_inverse, at::empty({0}, input.options().dtype(at::kByte))};
}

Three batch_norm_backward(const Tensor& grad, const Tensor& input, const Tensor& weight,
                          const Optional& mean, const Optional& variance,
                          const Optional& saved_mean, const Optional& saved_inverse,
                          bool is_training, double epsilon, std::array<bool, 3> mask,
                          const Tensor&) {
  return at::native_batch_norm_backward(grad, input, weight, mean, variance, saved_mean,
                                        saved_inverse, is_training, epsilon, mask);
}

Tensor in_math_type(const Tensor& t) { return t.to(at::toOpMathType(t.scalar_type())); }

// The normalised dimensions, from the end.
std::vector<int64_t> last_dims(size_t count) {
  std::vector<int64_t> dims;
  for (size_t i = 0; i < count; i++)
    dims.push_back(static_cast<int64_t>(i) - static_cast<int64_t>(count));
  return dims;
}

std::tuple<Tensor, Tensor> rms_norm(const Tensor& input, IntArrayRef normalized,
                                    const Optional& weight, std::optional<double> epsilon) {
  Tensor x = in_math_type(input);
  double floor = x.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                : std::numeric_limits<float>::epsilon();
  Tensor square = at::mean(at::mul(x, x), last_dims(normalized.size()), true);
  Tensor scale = at::rsqrt(at::add(square, epsilon.value_or(floor)));
  Tensor y = at::mul(x, scale);
  if (weight && weight->defined()) y = at::mul(y, *weight);
  return {y.to(input.scalar_type()), scale};
}

std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& grad, const Tensor& input,
                                             IntArrayRef normalized, const Tensor& scale,
                                             const Optional& weight, std::array<bool, 2> mask) {
  const bool has_weight = weight && weight->defined();
  Tensor g = in_math_type(grad), even = at::mul(in_math_type(input), scale), dx, dw;
  if (mask[0]) {
    Tensor inner = has_weight ? at::mul(g, in_math_type(*weight)) : g;
    Tensor share = at::mean(at::mul(inner, even), last_dims(normalized.size()), true);
    dx = at::mul(at::sub(inner, at::mul(even, share)), scale).to(input.scalar_type());
  }
  if (mask[1] && has_weight) {
    Tensor product = at::mul(g, even);
    std::vector<int64_t> rows;
    for (int64_t d = 0; d < input.dim() - static_cast<int64_t>(normalized.size()); d++)
      rows.push_back(d);
    dw = (rows.empty() ? product : at::sum(product, rows, false)).to(weight->scalar_type());
  }
  return {dx, dw};
}

}  // namespace

void add_math_parts(KernelTable& parts) {
  parts.add("_batch_norm_with_update", &batch_norm_with_update);
  parts.add("_cdist_backward", &cdist_backward);
  parts.add("_cdist_forward", &cdist);
  parts.add("_native_batch_norm_legit", &batch_norm);
  parts.add("_native_batch_norm_legit.no_stats", &batch_norm_without_statistics);
  parts.add("_fused_rms_norm", &rms_norm);
  parts.add("_fused_rms_norm_backward", &rms_norm_backward);
  parts.add("batch_norm_backward", &batch_norm_backward);
  parts.add("channel_shuffle", &channel_shuffle);
  parts.add("embedding_renorm", &embedding_renorm);
  parts.add("linalg_cross", &cross);
  parts.add("max_unpool2d", &max_unpool2d);
  parts.add("max_unpool3d", &max_unpool3d);
  parts.add("renorm", &renorm);
  parts.add("rrelu_with_noise", &rrelu_with_noise);
}

}  // namespace moai::bridge
