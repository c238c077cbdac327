// Process groups: a group of one has nothing to communicate; a larger one does not reach this
// device.
#include "src/frontend/bridge/collectives.h"

#include <torch/library.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/reducer_timer.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/frontend/bridge/errors.h"

namespace moai::bridge {
namespace {

using at::Tensor;

void collect(const c10::IValue& v, std::vector<Tensor>* out) {
  if (v.isTensor()) out->push_back(v.toTensor());
  if (v.isList())
    for (const c10::IValue& e : v.toListRef()) collect(e, out);
}

bool is_alone(std::span<const c10::IValue> arguments) {
  for (const c10::IValue& v : arguments)
    if (v.isCustomClass() && v.type()->str().find("c10d.ProcessGroup") != std::string::npos)
      return v.toCustomClass<c10d::ProcessGroup>()->getSize() == 1;
  return true;
}

// What has been done already, with its tensors as the result.
c10::intrusive_ptr<c10d::Work> done(const std::vector<Tensor>& tensors) {
  auto future =
      c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
  future->markCompleted(c10::IValue(c10::List<Tensor>(tensors)));
  return c10d::Work::create_from_future(future);
}

bool has_inputs(std::string_view name) {
  return name.find("gather") != std::string_view::npos ||
         name.find("scatter") != std::string_view::npos ||
         name.find("alltoall") != std::string_view::npos;
}

// (outputs or tensors, [inputs,] group, ...) -> ([outputs,] work)
void collective_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string& name = op.operator_name().name;
  const size_t count = op.schema().arguments().size();
  const auto arguments = std::span(*stack).last(count);
  if (name == "c10d::check_for_nan") return torch::jit::drop(*stack, count);
  if (!is_alone(arguments) || name == "c10d::send" || name.starts_with("c10d::recv"))
    throw_unsupported(
        name,
        "process groups do not reach this device: it is already all the accelerators there are, "
        "so run one process without DistributedDataParallel or torchrun; other tensors of a "
        "group stay on the cpu");
  std::vector<Tensor> outputs, inputs;
  collect(arguments[0], &outputs);
  if (has_inputs(name)) {
    collect(arguments[1], &inputs);
    for (size_t i = 0; i < outputs.size() && i < inputs.size(); i++)
      if (!outputs[i].is_same(inputs[i])) outputs[i].copy_(inputs[i].reshape(outputs[i].sizes()));
  }
  c10::IValue first = arguments[0];
  torch::jit::drop(*stack, count);
  const size_t returns = op.schema().returns().size();
  if (returns == 2) stack->push_back(std::move(first));
  if (returns >= 1) stack->emplace_back(done(outputs));
}

// DistributedDataParallel notes when its parts begin and end: the host's clock, since work is
// recorded, not run.
struct HostTimer final : c10d::Timer {
  explicit HostTimer(c10::Device) {}
  std::optional<int64_t> measureDifference(Event start, Event end) override {
    auto from = getTimestamp(start), to = getTimestamp(end);
    if (!from || !to || *to < *from) return std::nullopt;
    return *to - *from;
  }
};

}  // namespace

void register_collectives() {
  c10d::TimerRegistry()->Register(
      c10::DeviceType::CUDA,
      [](c10::Device device) -> std::unique_ptr<c10d::Timer> {
        return std::make_unique<HostTimer>(device);
      },
      c10::REGISTRY_PREFERRED);
  static auto& lib =
      *new torch::Library(torch::Library::IMPL, "c10d", c10::DispatchKey::CUDA, __FILE__, __LINE__);
  for (const c10::OperatorName& n :
       c10::Dispatcher::singleton().getRegistrationsForDispatchKey(c10::DispatchKey::CUDA)) {
    if (n.name.starts_with("c10d::"))
      lib.impl(c10::toString(n).c_str(),
               torch::CppFunction::makeFromBoxedFunction<&collective_kernel>());
  }
}

}  // namespace moai::bridge
