// CPU twins of the device operands of one call, and the way back.
#include "src/frontend/bridge/host_mirror.h"

#include <ATen/EmptyTensor.h>

#include "src/frontend/bridge/copy.h"
#include "src/frontend/bridge/encode.h"
#include "src/frontend/bridge/sparse.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {

HostMirrors::Operand* HostMirrors::find(const at::Tensor& t) {
  for (Operand& o : operands_)
    if (o.device.is_same(t)) return &o;
  return nullptr;
}

void HostMirrors::announce(const at::Tensor& t, bool is_written) {
  if (!is_device(t)) return;
  if (Operand* o = find(t)) {
    o->is_written |= is_written;
  } else if (is_sparse(t)) {
    operands_.push_back({t, at::Tensor(), is_written});
  } else {
    storage_of(t);  // refuses what has none
    operands_.push_back({t, at::Tensor(), is_written});
    storages_[t.storage().unsafeGetStorageImpl()].count++;
  }
  if (!is_sparse(t)) storages_[t.storage().unsafeGetStorageImpl()].is_written |= is_written;
}

void HostMirrors::announce(const c10::IValue& v, bool is_written) {
  for_each_tensor(v, [&](const at::Tensor& t) { announce(t, is_written); });
}

at::Tensor HostMirrors::view_of_shared(Shared* shared, const at::Tensor& t) {
  if (!shared->bytes.defined()) {
    shared->bytes = storage_to_host(t);
    bytes_ += shared->bytes.nbytes();
  }
  auto view = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(shared->bytes.storage()),
                                                       kCpuKeys, t.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
  if (t.is_conj()) view._set_conj(true);
  if (t.is_neg()) view._set_neg(true);
  return view;
}

at::Tensor HostMirrors::to_host(const at::Tensor& t) {
  if (!is_device(t)) return t;
  Operand* o = find(t);
  if (o->host.defined()) return o->host;
  o->host = twin_of(t);
  if (t.requires_grad()) o->host.set_requires_grad(true);  // some kernels ask
  return o->host;
}

at::Tensor HostMirrors::twin_of(const at::Tensor& t) {
  if (is_sparse(t)) {
    return sparse_with_parts(t, c10::DeviceType::CPU, [this](const at::Tensor& part) {
      at::Tensor host = tensor_to_host(part);
      bytes_ += host.nbytes();
      return host;
    });
  }
  Shared& shared = storages_[t.storage().unsafeGetStorageImpl()];
  at::Tensor host;
  // Operands that alias must alias on the host too, as soon as one of them is written.
  if (shared.count > 1 && shared.is_written) {
    host = view_of_shared(&shared, t);
  } else {
    host = tensor_to_host(t);
    bytes_ += host.nbytes();
  }
  if (t.unsafeGetTensorImpl()->is_wrapped_number())
    host.unsafeGetTensorImpl()->set_wrapped_number(true);
  return host;
}

c10::IValue HostMirrors::to_host(const c10::IValue& v) {
  if (v.isTensor()) return to_host(v.toTensor());
  if (v.isTensorList()) {
    c10::List<at::Tensor> l;
    for (const c10::IValue& e : v.toListRef()) l.push_back(to_host(e.toTensor()));
    return l;
  }
  if (v.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> l;
    for (const c10::IValue& e : v.toListRef())
      l.push_back(e.isTensor() ? std::optional<at::Tensor>(to_host(e.toTensor())) : std::nullopt);
    return l;
  }
  return v;
}

void HostMirrors::write_back(Operand* o) {
  if (!o->is_written || !o->host.defined()) return;
  const at::Tensor& d = o->device;
  if (is_sparse(d))
    return assign_sparse_parts(d, o->host, [this](const at::Tensor& part) { return upload(part); });
  if (d.sizes() != o->host.sizes()) resize_device(d, o->host.sizes(), o->host.strides());
  if (d.numel() == 0) return;
  bytes_ += o->host.nbytes();
  host_to_device(d, o->host);
}

void HostMirrors::write_back() {
  for (Operand& o : operands_) write_back(&o);
}

at::Tensor HostMirrors::to_device(const at::Tensor& host) {
  if (!host.defined() || is_device(host)) return host;
  for (Operand& o : operands_)
    if (o.host.is_same(host)) return o.device;
  if (is_sparse(host))
    return sparse_with_parts(host, c10::DeviceType::CUDA,
                             [this](const at::Tensor& part) { return upload(part); });
  for (Operand& o : operands_) {  // a view of an operand
    if (!o.host.defined() || is_sparse(o.host) || !o.host.storage().is_alias_of(host.storage()))
      continue;
    if (o.host.strides() != o.device.strides() ||
        o.host.storage_offset() != o.device.storage_offset())
      break;
    return make_view(o.device, host.sizes(), host.strides(), host.storage_offset(), host.dtype());
  }
  return upload(host);
}

at::Tensor HostMirrors::upload(const at::Tensor& host) {
  at::Tensor dense = host.is_non_overlapping_and_dense() && !host.is_conj() && !host.is_neg()
                         ? host
                         : host.resolve_conj().resolve_neg().contiguous();
  at::Tensor d = empty_device(dense.sizes(), dense.strides(), dense.scalar_type());
  bytes_ += dense.nbytes();
  if (dense.numel()) host_to_device(d, dense);
  return d;
}

c10::IValue HostMirrors::to_device(const c10::IValue& v) {
  if (v.isTensor()) return to_device(v.toTensor());
  if (!v.isTensorList()) return v;
  c10::List<at::Tensor> l;
  for (const c10::IValue& e : v.toListRef()) l.push_back(to_device(e.toTensor()));
  return l;
}

}  // namespace moai::bridge
