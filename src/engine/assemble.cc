#include "src/engine/assemble.h"

#include <algorithm>
#include <utility>

#include "codegen/canonicalize.h"
#include "codegen/emit.h"
#include "codegen/fuse.h"
#include "sched/memory_plan.h"

namespace moai::engine {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// Moves bytes as the widest elements that divide them.
TileProgram copy_program(uint64_t bytes) {
  DType dtype = bytes % 8 == 0 ? DType::i64 : bytes % 4 == 0 ? DType::i32 : DType::u8;
  TileProgram p;
  p.space = Shape{static_cast<int64_t>(bytes / size_of(dtype))};
  p.buffers = {{dtype, false, 0, Shape{1}}, {dtype, true, 0, Shape{1}}};
  TileInst load, store;
  load.op = TileOp::load, load.type = tile_type_of(dtype), load.dst = 0;
  store.op = TileOp::store, store.type = load.type, store.a = 0, store.imm_i = 1;
  p.code = {load, store};
  p.registers = 1;
  return p;
}

class Assembler {
 public:
  explicit Assembler(ir::Graph graph)
      : graph_(std::move(graph)), plan_value_(graph_.value_count(), kNone) {}

  StatusOr<sched::Plan> run() {
    MOAI_ASSIGN_OR_RETURN(codegen::Kernels emitted, codegen::emit(graph_, codegen::fuse(graph_)));
    kernels_ = std::move(emitted.kernels);
    add_inputs();
    for (const codegen::Kernel& k : kernels_) add_kernel(k);
    add_outputs();
    for (const codegen::Part& p : emitted.parts) {
      sched::PlanValue& part = values_[value_of(p.value)];
      part.part_of = static_cast<int32_t>(value_of(p.whole));
      part.part_at = p.at;
    }
    MOAI_ASSIGN_OR_RETURN(memory_, sched::memory_plan(values_, plan_kernels_, slot_count_));
    build_program();
    return std::move(plan_);
  }

 private:
  uint32_t value_of(ir::ValueId v) {
    uint32_t& at = plan_value_[ir::index_of(v)];
    if (at == kNone) {
      at = static_cast<uint32_t>(values_.size());
      values_.push_back({graph_.type(v).bytes(), -1, -1, -1});
    }
    return at;
  }

  void add_inputs() {
    for (const ir::Input& input : graph_.inputs()) {
      uint32_t v = value_of(input.value);
      if (input.kind == ir::Input::Kind::storage) {
        values_[v].input_slot = static_cast<int32_t>(input.index);
        slot_count_ = std::max(slot_count_, input.index + 1);
        continue;
      }
      values_[v].parameter = static_cast<int32_t>(input.index);
      plan_.scalar_count = std::max(plan_.scalar_count, input.index + 1);
      plan_.scalar_is_real.resize(plan_.scalar_count);
      plan_.scalar_is_real[input.index] = input.kind == ir::Input::Kind::scalar_real;
    }
  }

  void add_kernel(const codegen::Kernel& k) {
    sched::PlanKernel out;
    for (size_t i = 0; i < k.buffers.size(); i++)
      out.uses.push_back({value_of(k.buffers[i]), k.writes[i]});
    for (const codegen::Kernel::Alias& a : k.aliases)
      out.aliases.push_back({a.output, a.input, a.must});
    plan_kernels_.push_back(std::move(out));
  }

  // A value that is the contents of a second slot, or of another slot than the one it came from, or
  // a parameter, is copied by a kernel into a value of its own.
  void add_outputs() {
    for (const ir::Output& o : graph_.outputs()) {
      slot_count_ = std::max(slot_count_, o.slot + 1);
      uint32_t v = value_of(codegen::base_of(graph_, o.value));
      int32_t slot = static_cast<int32_t>(o.slot);
      if (values_[v].input_slot == slot) continue;  // unchanged
      plan_.written_slots.push_back(o.slot);
      if (values_[v].bytes == 0) continue;
      if (values_[v].input_slot < 0 && values_[v].output_slot < 0 && values_[v].parameter < 0) {
        values_[v].output_slot = slot;
        continue;
      }
      uint32_t copy = static_cast<uint32_t>(values_.size());
      values_.push_back({graph_.type(o.value).bytes(), -1, slot, -1});
      plan_kernels_.push_back({{{v, false}, {copy, true}}, {}});
      codegen::Kernel k;
      k.source = copy_program(values_[copy].bytes);
      kernels_.push_back(std::move(k));
    }
    std::sort(plan_.written_slots.begin(), plan_.written_slots.end());
  }

  static size_t operand_count(const KernelSource& source) {
    if (const auto* lib = std::get_if<LibraryKernel>(&source)) return lib->operands.size();
    return std::get<TileProgram>(source).buffers.size();
  }

  void add_copies(size_t& next, uint32_t before_kernel, Program& p) {
    for (; next < memory_.copies.size() && memory_.copies[next].before_kernel == before_kernel;
         next++) {
      const sched::MemoryPlan::Copy& c = memory_.copies[next];
      note_read(c.from);
      p.commands.push_back({static_cast<uint32_t>(p.kernels.size()), {c.from, c.to}, kNone});
      p.kernels.push_back(copy_program(c.bytes));
    }
  }

  void note_read(uint32_t v) {
    if (values_[v].input_slot >= 0)
      plan_.read_slots.push_back(static_cast<uint32_t>(values_[v].input_slot));
  }

  void build_program() {
    Program p;
    p.buffers = memory_.buffers;
    p.arena_bytes = memory_.arena_bytes;
    p.bindings = slot_count_ + 1;
    size_t next_copy = 0;
    for (uint32_t k = 0; k < kernels_.size(); k++) {
      add_copies(next_copy, k, p);
      Command c{static_cast<uint32_t>(p.kernels.size()), {}, kernels_[k].op};
      const sched::PlanKernel& plan_kernel = plan_kernels_[k];
      size_t operands = operand_count(kernels_[k].source);
      for (size_t i = 0; i < plan_kernel.uses.size(); i++) {
        const sched::PlanUse& use = plan_kernel.uses[i];
        if (!use.is_write) note_read(use.value);
        if (i < operands) c.buffers.push_back(use.value);
      }
      p.commands.push_back(std::move(c));
      p.kernels.push_back(std::move(kernels_[k].source));
    }
    add_copies(next_copy, static_cast<uint32_t>(kernels_.size()), p);
    auto& reads = plan_.read_slots;
    std::sort(reads.begin(), reads.end());
    reads.erase(std::unique(reads.begin(), reads.end()), reads.end());
    plan_.programs.push_back({{0, 1}, std::move(p)});
  }

  ir::Graph graph_;
  std::vector<uint32_t> plan_value_;  // graph value -> value of the memory plan
  std::vector<sched::PlanValue> values_;
  std::vector<sched::PlanKernel> plan_kernels_;
  std::vector<codegen::Kernel> kernels_;
  sched::MemoryPlan memory_;
  sched::Plan plan_;
  uint32_t slot_count_ = 0;
};

}  // namespace

StatusOr<sched::Plan> assemble(const ir::Graph& graph) {
  return Assembler(codegen::canonicalize(graph)).run();
}

}  // namespace moai::engine
