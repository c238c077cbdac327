#pragma once
#include "src/device/cpu/kernel.h"

namespace moai::cpu {

// Kernels of convolutions whose groups have few outputs, depthwise ones above all; null where
// others are better or must be.
std::unique_ptr<Kernel> make_narrow_conv(const LibraryKernel& k, const VectorOps& v);
std::unique_ptr<Kernel> make_narrow_wgrad(const LibraryKernel& k, const VectorOps& v);

}  // namespace moai::cpu
