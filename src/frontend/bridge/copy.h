// Where data crosses: host to device, device to host, device to device.
#pragma once
#include <ATen/core/Tensor.h>

namespace moai::bridge {

// The elements of a device tensor as a cpu tensor of the same sizes, dtype and bits; dense ones
// keep strides.
at::Tensor tensor_to_host(const at::Tensor& device);
// All bytes of its storage, as a cpu tensor of bytes.
at::Tensor storage_to_host(const at::Tensor& device);
// Writes a cpu tensor of the same sizes; any dtype.
void host_to_device(const at::Tensor& device, const at::Tensor& host);

// The kernel of copy_.
at::Tensor& copy_kernel(at::Tensor& self, const at::Tensor& source, bool non_blocking);
// The kernel of _local_scalar_dense.
at::Scalar item_kernel(const at::Tensor& self);

}  // namespace moai::bridge
