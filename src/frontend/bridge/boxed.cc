// The kernel behind every operator that has no kernel of its own.
#include "src/frontend/bridge/boxed.h"

#include <c10/core/impl/LocalDispatchKeySet.h>

#include "src/frontend/bridge/decompose.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/fallback.h"
#include "src/frontend/bridge/shapes.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

Arguments arguments_of(const OpInfo& info, const torch::jit::Stack& stack) {
  return Arguments(stack).last(info.args.size());
}

// The dtype that decides about support: complex if any device tensor is, read or written, else the
// first one's.
std::optional<DType> deciding_dtype(Arguments arguments) {
  std::optional<DType> found;
  for (const c10::IValue& v : arguments)
    for_each_tensor(v, [&](const at::Tensor& t) {
      if (is_device(t) && (!found || t.is_complex())) found = dtype_of(t.scalar_type());
    });
  return found;
}

at::Tensor make(const TensorSpec& s) {
  return s.is_defined ? empty_device(s.sizes, s.strides, s.dtype) : at::Tensor();
}

// All that the op writes into: its written arguments, then its fresh results.
void collect_written(const OpInfo& info, Arguments arguments, std::vector<at::Tensor>* outputs) {
  for (size_t i = 0; i < arguments.size(); i++) {
    if (!info.args[i].is_written) continue;
    if (arguments[i].isTensor() && arguments[i].toTensor().defined()) {
      outputs->push_back(arguments[i].toTensor());
    } else if (arguments[i].isList()) {
      for_each_tensor(arguments[i], [&](const at::Tensor& t) { outputs->push_back(t); });
    } else {
      outputs->emplace_back();
    }
  }
}

std::vector<c10::IValue> make_results(const Shapes& shapes, Arguments arguments,
                                      std::vector<at::Tensor>* outputs) {
  std::vector<c10::IValue> results;
  for (const ReturnSpec& r : shapes.returns) {
    switch (r.kind) {
      case ReturnSpec::Kind::value: results.push_back(r.value); break;
      case ReturnSpec::Kind::argument: results.push_back(arguments[r.argument]); break;
      case ReturnSpec::Kind::tensor:
        outputs->push_back(make(r.tensors[0]));
        results.emplace_back(outputs->back());
        break;
      case ReturnSpec::Kind::tensors: {
        c10::List<at::Tensor> list;
        for (const TensorSpec& s : r.tensors) {
          outputs->push_back(make(s));
          list.push_back(outputs->back());
        }
        results.emplace_back(std::move(list));
        break;
      }
    }
  }
  return results;
}

// An in-place op without a shape rule: its results are its written arguments as they are.
std::shared_ptr<const Shapes> shapes_in_place(const OpInfo& info) {
  if (!info.outputs_given || !info.lacks_shape_rule) return nullptr;
  auto shapes = std::make_shared<Shapes>();
  for (size_t i = 0; i < info.args.size() && shapes->returns.size() < info.return_count; i++) {
    if (info.args[i].is_out) return nullptr;
    if (!info.args[i].is_written) continue;
    ReturnSpec same;
    same.kind = ReturnSpec::Kind::argument;
    same.argument = i;
    shapes->returns.push_back(std::move(same));
  }
  return shapes->returns.size() == info.return_count ? shapes : nullptr;
}

// Written without the schema saying so: the running statistics of batch norm.
void collect_hidden(const OpInfo& info, Arguments arguments, std::vector<at::Tensor>* outputs) {
  if (info.record_name != "native_batch_norm") return;
  bool is_training = arguments[5].toBool();
  for (size_t i : {3, 4})
    outputs->push_back(is_training && arguments[i].isTensor() ? arguments[i].toTensor()
                                                              : at::Tensor());
}

bool all_expressible(std::span<const at::Tensor> tensors) {
  for (const at::Tensor& t : tensors)
    if (t.defined() && !is_expressible(t)) return false;
  return true;
}

bool nothing_to_write(std::span<const at::Tensor> outputs) {
  for (const at::Tensor& t : outputs)
    if (t.defined() && t.numel() != 0) return false;
  return true;
}

void return_results(const OpInfo& info, torch::jit::Stack* stack,
                    std::vector<c10::IValue> results) {
  torch::jit::drop(*stack, info.args.size());
  for (c10::IValue& v : results) stack->push_back(std::move(v));
}

// Metadata ops without a kernel of their own (unfold, view_as_real ...): the Meta kernel says where
// to look.
bool try_view(const OpInfo& info, torch::jit::Stack* stack) {
  Arguments arguments = arguments_of(info, *stack);
  if (arguments.empty() || !arguments[0].isTensor()) return false;
  const at::Tensor self = arguments[0].toTensor();
  auto shapes = infer_shapes(info, arguments);
  if (!shapes) return false;
  std::vector<c10::IValue> results;
  auto view = [&](const TensorSpec& s) {
    at::Tensor t =
        make_view(self, s.sizes, s.strides, s.offset, c10::scalarTypeToTypeMeta(s.dtype));
    if (s.is_conj != t.is_conj()) t._set_conj(s.is_conj);
    if (s.is_neg != t.is_neg()) t._set_neg(s.is_neg);
    return t;
  };
  for (const ReturnSpec& r : shapes->returns) {
    if (r.kind == ReturnSpec::Kind::argument) {
      results.push_back(arguments[r.argument]);
    } else if (r.kind == ReturnSpec::Kind::tensor) {
      results.emplace_back(view(r.tensors[0]));
    } else if (r.kind == ReturnSpec::Kind::tensors) {
      c10::List<at::Tensor> list;
      for (const TensorSpec& s : r.tensors) list.push_back(view(s));
      results.emplace_back(std::move(list));
    } else {
      results.push_back(r.value);
    }
  }
  return_results(info, stack, std::move(results));
  return true;
}

// Written arguments take what the functional form computes; an out= argument its size too.
void write_results(const OpInfo& info, Arguments results, Arguments call,
                   torch::jit::Stack* stack) {
  size_t next = 0;
  for (size_t i = 0; i < info.args.size() && next < results.size(); i++) {
    if (!info.args[i].is_written || info.args[i].is_out != info.has_out_argument) continue;
    const at::Tensor& target = call[i].toTensor();
    const at::Tensor& result = results[next++].toTensor();
    if (info.args[i].is_out && target.sizes() != result.sizes()) target.resize_(result.sizes());
    target.copy_(result);
    stack->push_back(call[i]);
  }
}

void run_parts(const c10::KernelFunction& parts, const OpInfo& info, torch::jit::Stack* stack) {
  if (!info.outputs_given) return parts.callBoxed(info.op, kDeviceKeys, stack);
  const auto base = stack->end() - static_cast<ptrdiff_t>(info.args.size());
  const torch::jit::Stack call(base, stack->end());
  stack->erase(base, stack->end());
  torch::jit::Stack inner;
  for (size_t i = 0; i < call.size(); i++)
    if (!info.args[i].is_out) inner.push_back(call[i]);
  parts.callBoxed(info.op, kDeviceKeys, &inner);
  write_results(info, inner, call, stack);
}

}  // namespace

void check_devices(const OpInfo& info, Arguments arguments) {
  if (info.takes_host_tensors) return;
  for (size_t i = 0; i < arguments.size(); i++) {
    for_each_tensor(arguments[i], [&](const at::Tensor& t) {
      if (!is_device(t) && (t.dim() != 0 || info.args[i].is_written))
        throw_mixed_devices(t.device().str(), info.name);
    });
  }
}

bool try_record(const OpInfo& info, torch::jit::Stack* stack) {
  Arguments arguments = arguments_of(info, *stack);
  if (info.has_dynamic_shape || !can_encode(info, arguments)) return false;
  if (info.check) info.check(arguments);
  std::optional<DType> dtype = deciding_dtype(arguments);
  if (!dtype || !info.is_supported(*dtype)) return false;
  auto shapes = infer_shapes(info, arguments);
  if (!shapes) shapes = shapes_in_place(info);
  if (!shapes) return false;
  for (auto& [i, spec] : shapes->resized)
    resize_device(arguments[i].toTensor(), spec.sizes, spec.strides);

  std::vector<at::Tensor> outputs;
  collect_written(info, arguments, &outputs);
  std::vector<c10::IValue> results = make_results(*shapes, arguments, &outputs);
  collect_hidden(info, arguments, &outputs);
  if (!all_expressible(outputs)) return false;
  if (!nothing_to_write(outputs)) record(info, arguments, outputs);
  return_results(info, stack, std::move(results));
  return true;
}

void boxed_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const OpInfo& info = op_info(op);
  check_devices(info, arguments_of(info, *stack));
  if (info.is_view && try_view(info, stack)) return;
  if (try_record(info, stack)) return;
  if (const c10::KernelFunction* parts = decomposition_of(info.record_name))
    return run_parts(*parts, info, stack);
  if (info.has_composite) return op.redispatchBoxed(kCompositeKeys, stack);
  fall_back(info, stack);
}

}  // namespace moai::bridge
