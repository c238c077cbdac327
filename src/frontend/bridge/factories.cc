// Factories, metadata and predicates: the client alone answers, nothing is recorded.
#include <ATen/EmptyTensor.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/copy.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/kernels.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using at::Tensor;
template <class T>
using Maybe = std::optional<T>;
using c10::SymIntArrayRef;

at::IntArrayRef ints(SymIntArrayRef v) { return C10_AS_INTARRAYREF_SLOW(v); }

void check_ordinal(Maybe<c10::Device> d) {
  TORCH_CHECK(!d || !d->has_index() || d->index() == 0,
              "CUDA error: invalid device ordinal. This program has one device: cuda:0");
}

Tensor empty(SymIntArrayRef size, Maybe<c10::ScalarType> dtype, Maybe<c10::Layout>,
             Maybe<c10::Device> device, Maybe<bool> pin, Maybe<c10::MemoryFormat> format) {
  check_ordinal(device);
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  return empty_device(ints(size), c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(SymIntArrayRef size, SymIntArrayRef stride, Maybe<c10::ScalarType> dtype,
                     Maybe<c10::Layout>, Maybe<c10::Device> device, Maybe<bool> pin) {
  check_ordinal(device);
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  return empty_device(ints(size), ints(stride), c10::dtype_or_default(dtype));
}

// A tensor of zeros without memory, which autograd makes and never reads.
Tensor zero_tensor(SymIntArrayRef size, Maybe<c10::ScalarType> dtype, Maybe<c10::Layout>,
                   Maybe<c10::Device>, Maybe<bool>) {
  at::native::ZeroTensorAllocator none(kDevice);
  return Tensor(at::detail::empty_generic(
      ints(size), &none, kDeviceKeys | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor),
      c10::dtype_or_default(dtype), std::nullopt));
}

Tensor as_strided(const Tensor& self, SymIntArrayRef size, SymIntArrayRef stride,
                  Maybe<c10::SymInt> offset) {
  return make_view(self, ints(size), ints(stride),
                   offset ? offset->expect_int() : self.storage_offset(), self.dtype());
}

Tensor view(const Tensor& self, SymIntArrayRef size) { return at::native::view(self, ints(size)); }

Tensor reshape_alias(const Tensor& self, SymIntArrayRef size, SymIntArrayRef stride) {
  return make_view(self, ints(size), ints(stride), self.storage_offset(), self.dtype());
}

std::vector<int64_t> strides_for(at::IntArrayRef size, Maybe<c10::MemoryFormat> format) {
  auto f = format.value_or(c10::MemoryFormat::Contiguous);
  if (f == c10::MemoryFormat::ChannelsLast) return c10::get_channels_last_strides_2d(size);
  if (f == c10::MemoryFormat::ChannelsLast3d) return c10::get_channels_last_strides_3d(size);
  auto dense = c10::contiguous_strides(size);
  return {dense.begin(), dense.end()};
}

const Tensor& resize_(const Tensor& self, SymIntArrayRef size, Maybe<c10::MemoryFormat> format) {
  if (self.sizes() != ints(size) || format)
    resize_device(self, ints(size), strides_for(ints(size), format));
  return self;
}

Tensor& set_to(Tensor& self, c10::Storage storage, int64_t offset, at::IntArrayRef size,
               at::IntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  TORCH_CHECK(storage.device() == self.device(),
              "Attempted to set the storage of a tensor on device \"", self.device(),
              "\" to a storage on different device \"", storage.device(),
              "\". This is no longer allowed; the devices must match.");
  impl->set_storage_keep_dtype(std::move(storage));
  resize_device(self, size, stride);
  impl->set_storage_offset(offset);
  return self;
}

Tensor& set_storage_offset(Tensor& self, c10::Storage storage, c10::SymInt offset,
                           SymIntArrayRef size, SymIntArrayRef stride) {
  auto dense = stride.empty() ? strides_for(ints(size), std::nullopt) : ints(stride).vec();
  return set_to(self, std::move(storage), offset.expect_int(), ints(size), dense);
}
Tensor& set_tensor(Tensor& self, const Tensor& o) {
  return set_to(self, o.storage(), o.storage_offset(), o.sizes(), o.strides());
}
Tensor& set_storage(Tensor& self, c10::Storage storage) {
  int64_t count = static_cast<int64_t>(storage.nbytes() / self.itemsize());
  return set_to(self, std::move(storage), 0, {count}, {1});
}
Tensor& set_empty(Tensor& self) {
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, device_allocator()->allocate(0),
                    device_allocator(), true);
  return set_to(self, std::move(none), 0, {0}, {1});
}

void record_stream(Tensor&, c10::Stream) {}

// Predicates that steer composite code.
bool no_ctc(const Tensor&, const Tensor&, at::IntArrayRef, at::IntArrayRef, int64_t) {
  return false;
}
bool no_ctc_tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t) {
  return false;
}

}  // namespace

void register_factories(torch::Library& lib) {
  lib.impl("empty.memory_format", TORCH_FN(empty));
  lib.impl("empty_strided", TORCH_FN(empty_strided));
  lib.impl("_efficientzerotensor", TORCH_FN(zero_tensor));
  lib.impl("as_strided", TORCH_FN(as_strided));
  lib.impl("view", TORCH_FN(view));
  lib.impl("_reshape_alias", TORCH_FN(reshape_alias));
  lib.impl("resize_", TORCH_FN(resize_));
  lib.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage_offset));
  lib.impl("set_.source_Tensor", TORCH_FN(set_tensor));
  lib.impl("set_.source_Storage", TORCH_FN(set_storage));
  lib.impl("set_", TORCH_FN(set_empty));
  lib.impl("copy_", TORCH_FN(copy_kernel));
  lib.impl("_local_scalar_dense", TORCH_FN(item_kernel));
  lib.impl("record_stream", TORCH_FN(record_stream));
  lib.impl("_use_cudnn_ctc_loss", TORCH_FN(no_ctc));
  lib.impl("_use_cudnn_ctc_loss.Tensor", TORCH_FN(no_ctc_tensor));
  lib.impl("_use_miopen_ctc_loss", TORCH_FN(no_ctc));
  lib.impl("_use_miopen_ctc_loss.Tensor", TORCH_FN(no_ctc_tensor));
}

}  // namespace moai::bridge
