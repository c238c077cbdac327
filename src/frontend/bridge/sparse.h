// Sparse tensors of the device (COO and compressed rows or columns): their parts are dense tensors
// of the device, their operators run on the client.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace moai::bridge {

// Whether the tensor consists of index and value tensors.
bool is_sparse(const at::Tensor& t);

using MovePart = std::function<at::Tensor(const at::Tensor&)>;
// A tensor of the same shape and layout on `to`, of moved parts. Requires: is_sparse(t).
at::Tensor sparse_with_parts(const at::Tensor& t, c10::DeviceType to, const MovePart& move);
// Shape and moved parts of `from` take the place of those of `to`. Requires: both of one layout.
void assign_sparse_parts(const at::Tensor& to, const at::Tensor& from, const MovePart& move);

// Registers a kernel for every operator that has one for sparse tensors on the CPU.
void register_sparse();

}  // namespace moai::bridge
