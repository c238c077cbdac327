// Device tensors: made, seen as wire views, resized.
#include "src/frontend/bridge/tensors.h"

#include <ATen/EmptyTensor.h>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/raw_copy.h"

namespace moai::bridge {

std::optional<DType> dtype_of(c10::ScalarType t) {
  using S = c10::ScalarType;
  switch (t) {
    case S::Double: return DType::f64;
    case S::Float: return DType::f32;
    case S::Half: return DType::f16;
    case S::BFloat16: return DType::bf16;
    case S::Long: return DType::i64;
    case S::Int: return DType::i32;
    case S::Short: return DType::i16;
    case S::Char: return DType::i8;
    case S::Byte: return DType::u8;
    case S::Bool: return DType::boolean;
    case S::ComplexFloat: return DType::c64;
    case S::ComplexDouble: return DType::c128;
    case S::ComplexHalf: return DType::c32;
    default: return std::nullopt;
  }
}

DType bits_dtype_of(c10::ScalarType t) {
  switch (c10::elementSize(t)) {
    case 1: return DType::u8;
    case 2: return DType::i16;
    case 4: return DType::i32;
    case 8: return DType::i64;
    default: return DType::c128;
  }
}

frontend::Storage* storage_of(const at::Tensor& t) {
  if (t.layout() != c10::kStrided || !t.has_storage())
    throw_unsupported("tensor", "only strided tensors exist on this device; call to_dense() first");
  const c10::DataPtr& data = t.storage().unsafeGetStorageImpl()->_mutable_data_ptr_no_checks();
  frontend::Storage* storage = storage_of(data);
  return storage || !data.get() ? storage : storage_at(data.get());
}

bool fills_storage(const at::Tensor& t) {
  return (t.storage().unsafeGetStorageImpl()->nbytes() & (t.itemsize() - 1)) == 0;
}

bool is_expressible(const at::Tensor& t) {
  return t.dim() <= kRankMax && dtype_of(t.scalar_type()) && t.layout() == c10::kStrided &&
         t.has_storage() && storage_of(t) && fills_storage(t);
}

wire::View view_of(const at::Tensor& t) {
  wire::View v;
  v.dtype = *dtype_of(t.scalar_type());
  v.is_conj = t.is_conj();
  v.is_neg = t.is_neg();
  v.offset = t.storage_offset();
  v.sizes = Shape(std::span(t.sizes().data(), t.sizes().size()));
  v.strides = Shape(std::span(t.strides().data(), t.strides().size()));
  return v;
}

frontend::ViewRef view_ref_of(const at::Tensor& t) {
  frontend::ViewRef v;
  v.dtype = *dtype_of(t.scalar_type());
  v.is_conj = t.is_conj();
  v.is_neg = t.is_neg();
  v.offset = t.storage_offset();
  v.sizes = {t.sizes().data(), t.sizes().size()};
  v.strides = {t.strides().data(), t.strides().size()};
  return v;
}

at::Tensor empty_device(at::IntArrayRef sizes, at::IntArrayRef strides, c10::ScalarType dtype) {
  return at::Tensor(
      at::detail::empty_strided_generic(sizes, strides, device_allocator(), kDeviceKeys, dtype));
}

at::Tensor empty_device(at::IntArrayRef sizes, c10::ScalarType dtype,
                        std::optional<c10::MemoryFormat> format) {
  return at::Tensor(
      at::detail::empty_generic(sizes, device_allocator(), kDeviceKeys, dtype, format));
}

at::Tensor make_view(const at::Tensor& self, at::IntArrayRef sizes, at::IntArrayRef strides,
                     int64_t offset, caffe2::TypeMeta dtype) {
  // The constructor for views does not add autograd keys itself: it takes all keys of self.
  auto t = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, c10::Storage(self.storage()), self.key_set(), dtype);
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, offset);
  return t;
}

bool covers_storage(const at::Tensor& t) {
  return storage_of(t.storage().unsafeGetStorageImpl()->_mutable_data_ptr_no_checks()) &&
         t.storage_offset() == 0 && t.is_non_overlapping_and_dense() &&
         static_cast<size_t>(t.numel()) * t.itemsize() == t.storage().nbytes();
}

frontend::Storage* renew_storage(const at::Tensor& t) {
  auto* impl = t.storage().unsafeGetStorageImpl();
  auto fresh = successor_of(storage_of(t));
  auto* storage = storage_of(fresh);
  impl->set_data_ptr(std::move(fresh));
  return storage;
}

void resize_storage(c10::StorageImpl* storage, size_t bytes) {
  auto fresh = device_allocator()->allocate(bytes);
  frontend::Storage* old = storage_of(storage->_mutable_data_ptr_no_checks());
  if (old) copy_bytes(storage_of(fresh), old, std::min<size_t>(bytes, old->bytes));
  storage->set_data_ptr(std::move(fresh));
  storage->set_nbytes(bytes);
}

void resize_device(const at::Tensor& t, at::IntArrayRef sizes, at::IntArrayRef strides) {
  auto* impl = t.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(sizes, strides);
  size_t need = at::detail::computeStorageNbytes(sizes, strides, impl->itemsize(),
                                                 static_cast<size_t>(impl->storage_offset()));
  auto* storage = t.storage().unsafeGetStorageImpl();
  if (need > storage->nbytes()) resize_storage(storage, need);
}

}  // namespace moai::bridge
