// The kernels of a program as text, for --dump=kernel.
#pragma once
#include <string>

#include "moai/device.h"

namespace moai::engine {

std::string print_kernels(const Program& program);

}  // namespace moai::engine
