// For kernels that want an operand in order: a copy in shared scratch runs before them.
#pragma once
#include <functional>

#include "src/device/cpu/kernel.h"

namespace moai::cpu {

// Whether elements lie in the order of the dimensions, one after the other. Strides of dimensions
// with one element or none say nothing.
bool is_in_order(const Operand& x);

using MakeKernel = std::function<StatusOr<std::unique_ptr<Kernel>>(const LibraryKernel&)>;
// make(k) with operand `i` contiguous, whatever its strides are in k.
StatusOr<std::unique_ptr<Kernel>> with_contiguous_operand(const LibraryKernel& k, size_t i,
                                                          const MakeKernel& make);

}  // namespace moai::cpu
