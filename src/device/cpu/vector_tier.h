// What the library kernels' files of one instruction set offer each other.
#pragma once
#include "src/device/cpu/vector_ops.h"

namespace moai::cpu::MOAI_TIER {

void set_gemm_ops(VectorOps& ops);
void set_attention_ops(VectorOps& ops);
void set_conv_ops(VectorOps& ops);
void set_skinny_ops(VectorOps& ops);
void set_thin_ops(VectorOps& ops);
void set_row_ops(VectorOps& ops);
void set_pool_ops(VectorOps& ops);

}  // namespace moai::cpu::MOAI_TIER
