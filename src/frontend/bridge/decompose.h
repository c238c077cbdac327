// Operators that exist for the device only, taken apart into others when the server does not have
// them whole.
#pragma once
#include <ATen/core/boxing/KernelFunction.h>

#include <map>
#include <string>
#include <string_view>

namespace moai::bridge {

class Decompositions {
 public:
  // `name` as it is recorded: that of the functional form, whose arguments and results `f` has.
  template <class F>
  void add(std::string name, F* f) {
    parts_.insert_or_assign(std::move(name),
                            c10::KernelFunction::makeFromUnboxedRuntimeFunction(f));
  }
  const c10::KernelFunction* find(std::string_view name) const {
    auto it = parts_.find(name);
    return it == parts_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::string, c10::KernelFunction, std::less<>> parts_;
};

// The families, a file each.
void add_cell_parts(Decompositions& parts);     // recurrent cells, dropout
void add_dynamic_parts(Decompositions& parts);  // results as large as the data says
void add_math_parts(Decompositions& parts);     // what a few other operators compute

// Null: there is no decomposition.
const c10::KernelFunction* decomposition_of(std::string_view record_name);

}  // namespace moai::bridge
