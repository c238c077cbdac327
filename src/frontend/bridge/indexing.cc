// Advanced indexing: the record has integer indices on the device. Masks become indices there; how
// many is a read, but for filling with one value.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/copy.h"
#include "src/frontend/bridge/kernels.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using at::Tensor;
using Indices = std::vector<std::optional<Tensor>>;

Tensor to_device(const Tensor& host) {
  if (is_device(host)) return host;
  Tensor t = empty_device(host.sizes(), host.scalar_type());
  host_to_device(t, host);
  return t;
}

bool is_mask(const Tensor& t) {
  return t.scalar_type() == c10::kBool || t.scalar_type() == c10::kByte;
}

void check_mask(const Tensor& self, const Tensor& mask, size_t dim) {
  for (int64_t d = 0; d < mask.dim(); d++) {
    int64_t at = static_cast<int64_t>(dim) + d;
    TORCH_CHECK_INDEX(at < self.dim() && mask.size(d) == self.size(at), "The shape of the mask ",
                      mask.sizes(), " at index ", d,
                      " does not match the shape of the indexed tensor ", self.sizes(),
                      " at index ", at);
  }
}

// Masks become one index tensor per dimension that they cover.
Indices normalise(const Tensor& self, const c10::IValue& list) {
  Indices out;
  for (const c10::IValue& e : list.toListRef()) {
    if (e.isNone() || !e.toTensor().defined()) {
      out.emplace_back();
      continue;
    }
    const Tensor& t = e.toTensor();
    if (!is_mask(t)) {
      out.emplace_back(to_device(t));
      continue;
    }
    check_mask(self, t, out.size());
    Tensor places = t.nonzero();
    for (int64_t d = 0; d < t.dim(); d++)
      out.emplace_back(to_device(places.select(1, d).contiguous()));
  }
  return out;
}

void replace_indices(torch::jit::Stack* stack, size_t at, const Tensor& self) {
  c10::IValue& v = (*stack)[at];
  if (v.isTensorList()) {  // never optional here: keep the type
    return;
  }
  c10::List<std::optional<Tensor>> list;
  for (std::optional<Tensor>& t : normalise(self, v)) list.push_back(std::move(t));
  v = std::move(list);
}

// index.Tensor and its relatives: (self, indices, ...).
void index_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  size_t base = stack->size() - op.schema().arguments().size();
  if (is_device((*stack)[base].toTensor()))
    replace_indices(stack, base + 1, (*stack)[base].toTensor());
  boxed_kernel(op, stack);
}

// self[mask] = value for one value: a fill, without asking how many places there are.
bool try_masked_fill(torch::jit::Stack* stack, size_t base) {
  Tensor self = (*stack)[base].toTensor();
  Tensor value = (*stack)[base + 2].toTensor();
  bool accumulate = (*stack)[base + 3].toBool();
  auto list = (*stack)[base + 1].toListRef();
  if (accumulate || value.numel() != 1 || list.empty() || !list.back().isTensor()) return false;
  for (size_t i = 0; i + 1 < list.size(); i++)
    if (!list[i].isNone() && list[i].toTensor().defined()) return false;
  Tensor mask = list.back().toTensor();
  if (!mask.defined() || mask.scalar_type() != c10::kBool || !is_device(mask)) return false;
  check_mask(self, mask, list.size() - 1);
  for (int64_t d = static_cast<int64_t>(list.size()) - 1 + mask.dim(); d < self.dim(); d++)
    mask = mask.unsqueeze(-1);
  if (is_device(value))
    self.masked_fill_(mask, value.reshape({}).to(self.scalar_type()));
  else
    self.masked_fill_(mask, value.item());
  return true;
}

// index_put_ and _index_put_impl_: (self, indices, values, accumulate, ...).
void index_put_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  size_t arguments = op.schema().arguments().size(), base = stack->size() - arguments;
  check_devices(op_info(op), Arguments(*stack).subspan(base));
  Tensor self = (*stack)[base].toTensor();
  const Tensor& value = (*stack)[base + 2].toTensor();
  TORCH_CHECK(!is_device(value) || is_device(self),
              "expected self and value to be on the same device");
  if (try_masked_fill(stack, base)) {
    torch::jit::drop(*stack, arguments);
    stack->emplace_back(self);
    return;
  }
  replace_indices(stack, base + 1, self);
  (*stack)[base + 2] = is_device(value) ? value : to_device(value.to(self.scalar_type()));
  boxed_kernel(op, stack);
}

}  // namespace

void register_indexing(torch::Library& lib) {
  for (const char* name : {"index.Tensor", "index.Tensor_out", "_unsafe_index.Tensor"})
    lib.impl(name, torch::CppFunction::makeFromBoxedFunction<&index_kernel>());
  for (const char* name : {"index_put_", "_index_put_impl_"})
    lib.impl(name, torch::CppFunction::makeFromBoxedFunction<&index_put_kernel>());
}

}  // namespace moai::bridge
