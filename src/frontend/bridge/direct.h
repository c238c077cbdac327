// Recording without boxing: kernels with the C++ signature of their operator.
//
// The direct way takes the usual call: strided device tensors and numbers, a shape that this thread
// met before. All else, errors too, goes through the boxed kernel.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <array>
#include <span>

#include "src/frontend/bridge/op_info.h"
#include "src/frontend/bridge/operand.h"

namespace moai::bridge {

struct DirectResults {
  std::array<at::Tensor, 3> fresh;
  const at::Tensor* same = nullptr;  // the written argument that is returned
};

// Whether the operator may go the direct way at all.
bool can_be_direct(const OpInfo& info);
// False: nothing happened, take the boxed kernel. Requires: can_be_direct().
bool record_direct(const OpInfo& info, std::span<Operand> operands, DirectResults* results);

void register_direct(torch::Library& lib);

}  // namespace moai::bridge
