// What PyTorch's kernels refuse before they run, where neither a shape rule nor the server would:
// at the call, so that the program sees the exception where it made the mistake.
#pragma once
#include <ATen/core/ivalue.h>

#include <span>
#include <string_view>

namespace moai::bridge {

// Throws what CPU PyTorch throws.
using ArgumentCheck = void (*)(std::span<const c10::IValue> arguments);

// name: "aten::uniform_". nullptr: nothing to check.
ArgumentCheck argument_check_of(std::string_view name);

}  // namespace moai::bridge
