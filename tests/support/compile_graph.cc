#include "tests/support/compile_graph.h"

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "src/engine/kernel_list.h"
#include "tests/support/reference_device.h"

namespace moai::test {

using ir::Tensor;

std::vector<Tensor> random_inputs(const ir::Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Tensor> out;
  for (const ir::Input& input : graph.inputs()) {
    Tensor t{graph.type(input.value), {}};
    t.data.resize(t.type.bytes());
    for (int64_t i = 0; i < t.type.shape.numel(); i++) {
      if (is_float(t.type.dtype))
        ir::set_real(t, i, std::normal_distribution<double>()(random));
      else
        ir::set_int(t, i, static_cast<int64_t>(random() % 7));
    }
    out.push_back(std::move(t));
  }
  return out;
}

StatusOr<std::vector<Tensor>> run_plan(const ir::Graph& graph, const sched::Plan& plan,
                                       const std::vector<Tensor>& inputs) {
  const Program& program = plan.programs[0].program;
  std::vector<std::vector<std::byte>> blocks(program.bindings);
  auto at_least = [](std::vector<std::byte>& block, uint64_t bytes) {
    if (block.size() < bytes) block.resize(bytes, std::byte{0x7b});
  };
  for (const ir::Output& o : graph.outputs()) at_least(blocks[o.slot], graph.type(o.value).bytes());
  for (size_t i = 0; i < inputs.size(); i++) {
    const ir::Input& input = graph.inputs()[i];
    bool is_storage = input.kind == ir::Input::Kind::storage;
    std::vector<std::byte>& block = is_storage ? blocks[input.index] : blocks.back();
    uint64_t at = is_storage ? 0 : input.index * uint64_t{8};
    at_least(block, at + inputs[i].data.size());
    std::memcpy(block.data() + at, inputs[i].data.data(), inputs[i].data.size());
  }
  std::vector<std::byte> arena(program.arena_bytes, std::byte{0x7b});
  std::vector<void*> bindings;
  for (auto& b : blocks) bindings.push_back(b.data());
  auto device = make_reference_device();
  MOAI_ASSIGN_OR_RETURN(std::unique_ptr<Executable> loaded, device->load(program));
  MOAI_RETURN_IF_ERROR(device->run(*loaded, bindings, arena.data()));
  std::vector<Tensor> out;
  for (const ir::Output& o : graph.outputs()) {
    Tensor t{graph.type(o.value), {}};
    t.data.assign(blocks[o.slot].begin(),
                  blocks[o.slot].begin() + static_cast<std::ptrdiff_t>(t.type.bytes()));
    out.push_back(std::move(t));
  }
  return out;
}

namespace {

StatusOr<sched::Plan> plan_of(const ir::Graph& graph) {
  MOAI_ASSIGN_OR_RETURN(engine::KernelList list, engine::list_kernels(graph));
  return engine::place(std::move(list));
}

bool is_close(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= tolerance * (1 + std::abs(b));
}

}  // namespace

std::string compare(const ir::Graph& graph, double tolerance, uint64_t seed) {
  auto plan = plan_of(graph);
  return plan.ok() ? compare(graph, *plan, tolerance, seed) : "plan: " + plan.status().to_string();
}

std::string compare(const ir::Graph& graph, const sched::Plan& plan, double tolerance,
                    uint64_t seed) {
  std::vector<Tensor> inputs = random_inputs(graph, seed);
  auto want = ir::eval(graph, inputs);
  if (!want.ok()) return "eval: " + want.status().to_string();
  auto got = run_plan(graph, plan, inputs);
  if (!got.ok()) return "run: " + got.status().to_string() + "\n" + sched::print(plan);
  for (size_t o = 0; o < want->size(); o++) {
    const Tensor &a = (*got)[o], &b = (*want)[o];
    for (int64_t i = 0; i < a.type.shape.numel(); i++) {
      bool is_same = is_float(a.type.dtype)
                         ? is_close(ir::get_real(a, i), ir::get_real(b, i), tolerance)
                         : ir::get_int(a, i) == ir::get_int(b, i);
      if (!is_same)
        return "output " + std::to_string(o) + ", element " + std::to_string(i) + ": got " +
               std::to_string(ir::get_real(a, i)) + ", want " + std::to_string(ir::get_real(b, i)) +
               "\n" + sched::print(plan);
    }
  }
  return "";
}

int kernel_count(const ir::Graph& graph) {
  auto plan = plan_of(graph);
  return plan.ok() ? static_cast<int>(plan->programs[0].program.commands.size()) : -1;
}

}  // namespace moai::test
