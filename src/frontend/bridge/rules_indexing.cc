// Shape rules of operators that look up, join or fill.
#include <ATen/ExpandUtils.h>
#include <ATen/MetaFunctions.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/stack.h>

#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {
namespace {

using at::IntArrayRef;
using at::Tensor;

Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding_index,
                 bool by_frequency, bool is_sparse) {
  if (weight.dim() != 2 || !at::isIntegralType(indices.scalar_type(), /*includeBool=*/false))
    return at::embedding(weight, indices, padding_index, by_frequency, is_sparse);
  c10::DimVector sizes(indices.sizes());
  sizes.push_back(weight.size(1));
  return at::empty(sizes, weight.options());
}

Tensor embedding_backward(const Tensor& grad, const Tensor& indices, int64_t rows, int64_t, bool) {
  c10::DimVector sizes(grad.sizes().slice(static_cast<size_t>(indices.dim())));
  sizes.insert(sizes.begin(), rows);
  return at::empty(sizes, grad.options());
}

Tensor stack(at::TensorList tensors, int64_t dim) {
  bool is_regular = !tensors.empty() && dim >= -tensors[0].dim() - 1 && dim <= tensors[0].dim();
  for (const Tensor& t : tensors)
    is_regular &= t.sizes() == tensors[0].sizes() && t.dtype() == tensors[0].dtype();
  if (!is_regular) return at::stack(tensors, dim);
  c10::DimVector sizes(tensors[0].sizes());
  sizes.insert(sizes.begin() + (dim < 0 ? dim + tensors[0].dim() + 1 : dim),
               static_cast<int64_t>(tensors.size()));
  return at::empty(sizes, tensors[0].options());
}

Tensor select_backward(const Tensor& grad, IntArrayRef sizes, int64_t, int64_t) {
  return at::empty(sizes, grad.options());
}

Tensor slice_backward(const Tensor& grad, IntArrayRef sizes, int64_t, int64_t, int64_t, int64_t) {
  return at::empty(sizes, grad.options());
}

Tensor& masked_fill_(Tensor& self, const Tensor& mask, const at::Scalar& value) {
  if (mask.scalar_type() != at::kBool ||
      at::infer_size_dimvector(self.sizes(), mask.sizes()) != self.sizes() ||
      (value.isFloatingPoint() && !self.is_floating_point()))
    return self.masked_fill_(mask, value);
  return self;
}

// A copy that is dense, whatever self is.
bool is_fillable(const Tensor& self, const Tensor& mask) {
  return mask.scalar_type() == at::kBool && at::are_expandable(self.sizes(), mask.sizes());
}
Tensor filled(const Tensor& self, const Tensor& mask) {
  return at::empty(at::infer_size_dimvector(self.sizes(), mask.sizes()), self.options());
}
Tensor masked_fill_number(const Tensor& self, const Tensor& mask, const at::Scalar& value) {
  if (!is_fillable(self, mask) || (value.isFloatingPoint() && !self.is_floating_point()) ||
      value.isComplex())
    return at::masked_fill(self, mask, value);
  return filled(self, mask);
}
Tensor masked_fill(const Tensor& self, const Tensor& mask, const Tensor& value) {
  if (!is_fillable(self, mask) || value.dim() != 0 || value.scalar_type() != self.scalar_type())
    return at::masked_fill(self, mask, value);
  return filled(self, mask);
}

Tensor index_select(const Tensor& self, int64_t dim, const Tensor& index) {
  const bool is_regular = self.dim() > 0 && index.dim() == 1 && dim >= -self.dim() &&
                          dim < self.dim() &&
                          (index.scalar_type() == at::kLong || index.scalar_type() == at::kInt);
  if (!is_regular) return at::index_select(self, dim, index);
  c10::DimVector sizes(self.sizes());
  sizes[static_cast<size_t>(dim < 0 ? dim + self.dim() : dim)] = index.numel();
  return at::empty(sizes, self.options());
}

// PyTorch's rule looks at the first row of the source, which may have none.
Tensor& index_add_(Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                   const at::Scalar& alpha) {
  bool is_nothing = index.numel() == 0 && source.numel() == 0 && index.dim() == 1;
  return is_nothing ? self : at::meta::index_add_(self, dim, index, source, alpha);
}
Tensor index_add(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                 const at::Scalar& alpha) {
  Tensor result = at::empty(self.sizes(), self.options());
  return index_add_(result, dim, index, source, alpha);
}

}  // namespace

void add_indexing_rules(KernelTable& rules) {
  rules.add("embedding", &embedding);
  rules.add("embedding_dense_backward", &embedding_backward);
  rules.add("stack", &stack);
  rules.add("select_backward", &select_backward);
  rules.add("slice_backward", &slice_backward);
  rules.add("masked_fill_.Scalar", &masked_fill_);
  rules.add("masked_fill.Scalar", &masked_fill_number);
  rules.add("masked_fill.Tensor", &masked_fill);
  rules.add("index_select", &index_select);
  rules.add("index_add", &index_add);
  rules.add("index_add_", &index_add_);
}

}  // namespace moai::bridge
