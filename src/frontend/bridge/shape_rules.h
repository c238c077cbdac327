// Hand rules for operators without a Meta kernel: functions over Meta tensors with the operator's schema.
#pragma once
#include <ATen/core/boxing/KernelFunction.h>

#include <string_view>

namespace moai::bridge {

// Null: PyTorch's own Meta kernel is the rule.
const c10::KernelFunction* shape_rule_of(std::string_view record_name);

}  // namespace moai::bridge
