// Shape rules in C++ instead of those behind the Meta key: for operators that have none there, and
// for the common ones whose Meta kernel is Python. The first of these imports a second's worth of
// modules, and they need the GIL.
//
// A rule may answer the regular case and hand the others, errors too, to the Meta key:
// at::NAME(meta twins).
#pragma once
#include <ATen/core/Tensor.h>

#include "src/frontend/bridge/kernel_table.h"

namespace moai::bridge {

void add_structured_rules(KernelTable& rules);
void add_network_rules(KernelTable& rules);
void add_indexing_rules(KernelTable& rules);
void add_list_rules(KernelTable& rules);
void add_pointwise_rules(KernelTable& rules);

// By the operator's name without "aten::": "add_.Tensor". Null: it has no rule here.
const c10::KernelFunction* shape_rule_of(std::string_view name);

}  // namespace moai::bridge
