// One call of an operator as words of the open segment.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <span>

#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/op_info.h"

namespace moai::bridge {

using Arguments = std::span<const c10::IValue>;

// Whether every argument has a word: rank, dtype, no complex number.
bool can_encode(const OpInfo& info, Arguments arguments);
// Appends the op. `outputs`: what it writes, in order; undefined and empty ones are sent as none.
// Requires: can_encode(), and that every output is expressible.
void record(const OpInfo& info, Arguments arguments, std::span<const at::Tensor> outputs);

// The same with a state that the caller drew.
void record_random(const OpInfo& info, Arguments arguments, std::span<const at::Tensor> outputs,
                   const RandomState& random);

// The generator among the arguments, or an undefined one.
at::Generator generator_of(Arguments arguments);
// Calls f(tensor) for every defined tensor of the arguments, lists included.
template <class F>
void for_each_tensor(const c10::IValue& v, F f) {
  if (v.isTensor()) {
    if (v.toTensor().defined()) f(v.toTensor());
  } else if (v.isList()) {
    for (const c10::IValue& e : v.toListRef())
      if (e.isTensor() && e.toTensor().defined()) f(e.toTensor());
  }
}

}  // namespace moai::bridge
