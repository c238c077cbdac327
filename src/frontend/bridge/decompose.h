// Operators that exist for the device only, taken apart into others when the server does not have
// them whole.
#pragma once
#include "src/frontend/bridge/kernel_table.h"

namespace moai::bridge {

// The families, a file each. A name is as it is recorded: that of the functional form, whose
// arguments and results the kernel has.
void add_cell_parts(KernelTable& parts);     // recurrent cells, dropout
void add_dynamic_parts(KernelTable& parts);  // results as large as the data says
void add_math_parts(KernelTable& parts);     // what a few other operators compute

// Null: there is no decomposition.
const c10::KernelFunction* decomposition_of(std::string_view record_name);

}  // namespace moai::bridge
