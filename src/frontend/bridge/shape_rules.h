// Shape rules in C++ instead of those behind the Meta key: for operators that have none there, and
// for the common ones whose Meta kernel is Python. The first of these imports a second's worth of
// modules, and they need the GIL.
//
// A rule may answer the regular case and hand the others, errors too, to the Meta key:
// at::NAME(meta twins).
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/boxing/impl/make_boxed_from_unboxed_functor.h>

#include <map>
#include <string>
#include <string_view>

namespace moai::bridge {

class ShapeRules {
 public:
  // `name` with overload, without "aten::"; `f` takes and returns what the operator does.
  template <class F>
  void add(std::string name, F* f) {
    rules_.insert_or_assign("aten::" + name,
                            c10::KernelFunction::makeFromUnboxedRuntimeFunction(f));
  }
  const c10::KernelFunction* find(std::string_view full_name) const {
    auto it = rules_.find(full_name);
    return it == rules_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::string, c10::KernelFunction, std::less<>> rules_;
};

void add_structured_rules(ShapeRules& rules);
void add_network_rules(ShapeRules& rules);
void add_indexing_rules(ShapeRules& rules);
void add_list_rules(ShapeRules& rules);

// By the operator's full name: "aten::add_.Tensor". Null: it has no rule here.
const c10::KernelFunction* shape_rule_of(std::string_view name);

}  // namespace moai::bridge
