// Runs an operator on the client: read the operands, CPU kernel, upload the results. Counted.
#pragma once
#include <ATen/core/stack.h>

#include "src/frontend/bridge/op_info.h"

namespace moai::bridge {

// Consumes the call at the top of the stack, leaves its results.
void fall_back(const OpInfo& info, torch::jit::Stack* stack);
// The boxed kernel that says why not: layouts that the device has no storage for.
void refuse_layout(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace moai::bridge
