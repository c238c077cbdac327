// Sparse tensors of the device.
#include "src/frontend/bridge/sparse.h"

#include <ATen/SparseCsrTensorImpl.h>
#include <ATen/SparseCsrTensorUtils.h>
#include <ATen/SparseTensorImpl.h>
#include <torch/library.h>

#include <algorithm>
#include <string_view>

#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/encode.h"
#include "src/frontend/bridge/fallback.h"
#include "src/frontend/bridge/op_info.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using c10::DispatchKey;
using c10::DispatchKeySet;

at::SparseTensorImpl* coo(const at::Tensor& t) {
  return static_cast<at::SparseTensorImpl*>(t.unsafeGetTensorImpl());
}

at::SparseCsrTensorImpl* compressed(const at::Tensor& t) {
  return static_cast<at::SparseCsrTensorImpl*>(t.unsafeGetTensorImpl());
}

// They read and set the parts and the shape, whatever device the parts are on.
bool is_about_parts(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "_coalesced_",
      "_dimI",
      "_dimV",
      "_indices",
      "_nnz",
      "_sparse_coo_tensor_with_dims",
      "_sparse_coo_tensor_with_dims_and_tensors",
      "_values",
      "ccol_indices",
      "clone",
      "col_indices",
      "copy_",
      "copy_sparse_to_sparse_",
      "crow_indices",
      "dense_dim",
      "empty",
      "indices",
      "is_coalesced",
      "resize_as_sparse_",
      "row_indices",
      "sparse_dim",
      "sparse_resize_",
      "sparse_resize_and_clear_",
      "values",
  };
  name = name.substr(0, name.find('.'));
  return name.starts_with("aten::") && std::ranges::binary_search(kNames, name.substr(6));
}

template <DispatchKey kHostKey>
void sparse_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const OpInfo& info = op_info(op);
  if (is_about_parts(info.name) && op.hasKernelForDispatchKey(kHostKey))
    return op.redispatchBoxed(DispatchKeySet(kHostKey), stack);
  check_devices(info, Arguments(*stack).last(info.args.size()));
  fall_back(info, stack);
}

// PyTorch prefers a composite kernel to a fallback, so each operator needs its own entry.
template <DispatchKey kHostKey>
void register_layout(DispatchKey device_key) {
  constexpr auto* kKernel = &sparse_kernel<kHostKey>;
  static auto& fallback =
      *new torch::Library(torch::Library::IMPL, "_", device_key, __FILE__, __LINE__);
  fallback.fallback(torch::CppFunction::makeFromBoxedFunction<kKernel>());
  static auto& aten =
      *new torch::Library(torch::Library::IMPL, "aten", device_key, __FILE__, __LINE__);
  for (DispatchKey key : {kHostKey, device_key})
    for (const c10::OperatorName& n :
         c10::Dispatcher::singleton().getRegistrationsForDispatchKey(key))
      if (n.name.starts_with("aten::"))
        aten.impl(c10::toString(n).c_str(), torch::CppFunction::makeFromBoxedFunction<kKernel>());
}

}  // namespace

bool is_sparse(const at::Tensor& t) {
  return t.defined() && (t.is_sparse() || at::sparse_csr::is_sparse_compressed(t));
}

at::Tensor sparse_with_parts(const at::Tensor& t, c10::DeviceType to, const MovePart& move) {
  const bool is_cpu = to == c10::DeviceType::CPU;
  at::Tensor made =
      t.is_sparse()
          ? at::detail::make_tensor<at::SparseTensorImpl>(
                DispatchKeySet(is_cpu ? DispatchKey::SparseCPU : DispatchKey::SparseCUDA),
                t.dtype())
          : at::detail::make_tensor<at::SparseCsrTensorImpl>(
                DispatchKeySet(is_cpu ? DispatchKey::SparseCsrCPU : DispatchKey::SparseCsrCUDA),
                is_cpu ? c10::Device(c10::DeviceType::CPU) : kDevice, t.layout(), t.dtype());
  assign_sparse_parts(made, t, move);
  return made;
}

void assign_sparse_parts(const at::Tensor& to, const at::Tensor& from, const MovePart& move) {
  if (from.is_sparse()) {
    at::SparseTensorImpl *target = coo(to), *source = coo(from);
    target->raw_resize_(source->sparse_dim(), source->dense_dim(), from.sizes());
    target->set_indices_and_values_unsafe(move(source->indices()), move(source->values()));
    target->set_coalesced(source->coalesced());
  } else {
    at::SparseCsrTensorImpl* source = compressed(from);
    compressed(to)->set_member_tensors(move(source->compressed_indices()),
                                       move(source->plain_indices()), move(source->values()),
                                       from.sizes());
  }
}

void register_sparse() {
  register_layout<DispatchKey::SparseCPU>(DispatchKey::SparseCUDA);
  register_layout<DispatchKey::SparseCsrCPU>(DispatchKey::SparseCsrCUDA);
}

}  // namespace moai::bridge
