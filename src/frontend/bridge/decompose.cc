// All decompositions.
#include "src/frontend/bridge/decompose.h"

namespace moai::bridge {

const c10::KernelFunction* decomposition_of(std::string_view name) {
  static const KernelTable* all = [] {
    auto* d = new KernelTable();
    add_cell_parts(*d);
    add_dynamic_parts(*d);
    add_math_parts(*d);
    return d;
  }();
  return all->find(name);
}

}  // namespace moai::bridge
