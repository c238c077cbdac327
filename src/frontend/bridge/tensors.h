// Device tensors: made, seen as wire views, resized. Metadata only; nothing here records.
#pragma once
#include <ATen/core/Tensor.h>

#include "src/frontend/bridge/device.h"
#include "src/frontend/capture.h"

namespace moai::bridge {

inline bool is_device(const at::Tensor& t) {
  return t.defined() && t.device().type() == c10::DeviceType::CUDA;
}

// The client storage of a device tensor; null for a zero tensor, which has no memory. Throws
// NotImplementedError for sparse, nested and quantised ones.
frontend::Storage* storage_of(const at::Tensor& t);
// The wire's view. Requires: rank <= kRankMax and a dtype of the wire.
wire::View view_of(const at::Tensor& t);
// The same without a copy of sizes and strides.
frontend::ViewRef view_ref_of(const at::Tensor& t);
// Whether the storage is a whole number of its elements: four bytes over, and the server cannot see
// the storage as both.
bool fills_storage(const at::Tensor& t);
// Whether the server takes an operator on it.
bool is_expressible(const at::Tensor& t);

at::Tensor empty_device(at::IntArrayRef sizes, at::IntArrayRef strides, c10::ScalarType dtype);
at::Tensor empty_device(at::IntArrayRef sizes, c10::ScalarType dtype,
                        std::optional<c10::MemoryFormat> format = std::nullopt);
// Another look at the storage of `self`.
at::Tensor make_view(const at::Tensor& self, at::IntArrayRef sizes, at::IntArrayRef strides,
                     int64_t offset, caffe2::TypeMeta dtype);

// Whether its elements are exactly the bytes of a storage that it owns, each once.
bool covers_storage(const at::Tensor& t);
// Puts an empty storage of the same address under all tensors that share this one. Returns it.
frontend::Storage* renew_storage(const at::Tensor& t);
// Growing keeps the old bytes: a new storage and a copy record.
void resize_device(const at::Tensor& t, at::IntArrayRef sizes, at::IntArrayRef strides);
void resize_storage(c10::StorageImpl* storage, size_t bytes);

}  // namespace moai::bridge
