#pragma once
#include "src/device/cpu/kernel.h"

namespace moai::cpu {

// The kernel of a convolution of one tap; null where another is better or must be.
std::unique_ptr<Kernel> make_pointwise_conv(const LibraryKernel& k, const VectorOps& v);

}  // namespace moai::cpu
