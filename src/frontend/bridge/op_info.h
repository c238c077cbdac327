// Facts about one operator, found once: its name on the wire, how each argument is sent, what it
// returns.
#pragma once
#include <ATen/core/dispatch/Dispatcher.h>

#include <atomic>
#include <string>
#include <vector>

#include "moai/dtype.h"
#include "src/frontend/bridge/argument_checks.h"
#include "src/frontend/capture.h"

namespace moai::bridge {

enum class ArgKind : uint8_t {
  tensor,
  tensors,
  scalar,
  scalars,
  real,
  reals,
  integer,
  integers,
  dtype,
  text,
  generator,
  ignored,      // device, layout, pinning: decided by the client
  unsupported,  // no word of the wire
};

struct ArgInfo {
  ArgKind kind = ArgKind::unsupported;
  bool is_written = false;
  bool is_out = false;         // written and not read: among the outputs only
  bool is_structural = false;  // a Scalar or float that fixes a shape or an algorithm
  bool is_structural_when_one = false;
};

struct OpInfo {
  explicit OpInfo(const c10::OperatorHandle& op);

  c10::OperatorHandle op;
  std::string name;                    // "aten::add_.Tensor"
  std::string record_name;             // "add.Tensor"
  mutable frontend::OpName wire_name;  // the same, for the recorder; under its mutex
  std::vector<ArgInfo> args;
  size_t return_count = 0;
  bool is_encodable = true;    // no argument is unsupported
  bool outputs_given = false;  // all results are written arguments
  bool has_out_argument = false;
  bool is_view = false;  // a result shares the storage of an argument that is not written
  bool is_random = false;
  bool adds_random_word = false;  // draws, and its schema has no generator
  bool has_composite = false;     // may be taken apart when the server does not have it
  bool takes_host_tensors = false;
  bool has_dynamic_shape = false;
  ArgumentCheck check = nullptr;  // before it is recorded

  // Whether the server lowers it for this dtype; asked once.
  bool is_supported(DType first_operand) const;
  // No rule gives its shapes: it always runs on the host.
  mutable std::atomic<bool> lacks_shape_rule{false};

 private:
  mutable std::atomic<int8_t> support_[kDTypeCount] = {};  // 0: not asked, 1: yes, -1: no
};

const OpInfo& op_info(const c10::OperatorHandle& op);

}  // namespace moai::bridge
