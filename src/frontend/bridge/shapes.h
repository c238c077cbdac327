// Sizes, strides and dtypes of what an operator returns, from PyTorch's Meta kernels, remembered
// per (operator, views, structural attributes).
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>
#include <c10/util/DimVector.h>

#include <memory>
#include <vector>

#include "src/frontend/bridge/encode.h"

namespace moai::bridge {

struct TensorSpec {
  c10::ScalarType dtype = c10::ScalarType::Float;
  c10::DimVector sizes, strides;
  int64_t offset = 0;
  bool is_conj = false, is_neg = false;
  bool is_defined = true;
};

struct ReturnSpec {
  enum class Kind : uint8_t { tensor, tensors, argument, value } kind = Kind::tensor;
  std::vector<TensorSpec> tensors;
  size_t argument = 0;  // kind argument: it is this one
  c10::IValue value;    // kind value: no tensor
};

struct Shapes {
  std::vector<ReturnSpec> returns;
  std::vector<std::pair<size_t, TensorSpec>> resized;  // out= arguments that take another size
};

// Returns null when no rule knows: the caller runs the op elsewhere. Throws what the rule throws
// about the arguments (sizes, dtypes).
std::shared_ptr<const Shapes> infer_shapes(const OpInfo& info, Arguments arguments);

}  // namespace moai::bridge
