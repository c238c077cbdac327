// All shape rules in C++.
#include "src/frontend/bridge/shape_rules.h"

namespace moai::bridge {

const c10::KernelFunction* shape_rule_of(std::string_view name) {
  static const KernelTable* rules = [] {
    auto* r = new KernelTable();
    add_structured_rules(*r);
    add_network_rules(*r);
    add_indexing_rules(*r);
    add_list_rules(*r);
    add_pointwise_rules(*r);
    return r;
  }();
  return rules->find(name);
}

}  // namespace moai::bridge
