// The kernel behind every operator that has no kernel of its own: check devices, record, or run
// elsewhere.
#pragma once
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include "src/frontend/bridge/encode.h"

namespace moai::bridge {

void boxed_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// Throws PyTorch's sentence when tensors of both devices meet. A 0-dim cpu tensor that is only read
// is a number.
void check_devices(const OpInfo& info, Arguments arguments);

// Records the call at the top of the stack if the server has the op, and puts the results there.
// Returns false, with the stack unchanged, if it must run elsewhere.
bool try_record(const OpInfo& info, torch::jit::Stack* stack);

}  // namespace moai::bridge
