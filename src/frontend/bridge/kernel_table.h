// Kernels by an operator's name.
#pragma once
#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/boxing/impl/make_boxed_from_unboxed_functor.h>

#include <map>
#include <string>
#include <string_view>

namespace moai::bridge {

class KernelTable {
 public:
  // `name` with overload, without "aten::"; `f` takes and returns what that operator does.
  template <class F>
  void add(std::string name, F* f) {
    kernels_.insert_or_assign(std::move(name),
                              c10::KernelFunction::makeFromUnboxedRuntimeFunction(f));
  }
  // Null: there is none.
  const c10::KernelFunction* find(std::string_view name) const {
    auto it = kernels_.find(name);
    return it == kernels_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::string, c10::KernelFunction, std::less<>> kernels_;
};

}  // namespace moai::bridge
