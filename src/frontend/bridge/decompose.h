// Operators that exist for the device only, taken apart into others when the server does not have
// them whole.
#pragma once
#include <ATen/core/boxing/KernelFunction.h>

#include <string_view>

namespace moai::bridge {

// Null: there is no decomposition.
const c10::KernelFunction* decomposition_of(std::string_view record_name);

}  // namespace moai::bridge
