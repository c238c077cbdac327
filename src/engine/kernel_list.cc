#include "src/engine/kernel_list.h"

#include <algorithm>
#include <utility>

#include "codegen/canonicalize.h"
#include "codegen/emit.h"
#include "codegen/fuse.h"

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

class Lister {
 public:
  explicit Lister(ir::Graph graph)
      : graph_(std::move(graph)), plan_value_(graph_.value_count(), kNone) {}

  StatusOr<KernelList> run() {
    MOAI_ASSIGN_OR_RETURN(codegen::Kernels emitted, codegen::emit(graph_, codegen::fuse(graph_)));
    add_inputs();
    for (codegen::Kernel& k : emitted.kernels) add_kernel(std::move(k));
    add_outputs();
    for (const codegen::Part& p : emitted.parts) {
      const uint32_t whole = value_of(p.whole), part = value_of(p.value);
      list_.values[part].part_of = static_cast<int32_t>(whole);
      list_.values[part].part_at = p.at;
    }
    return std::move(list_);
  }

 private:
  uint32_t value_of(ir::ValueId v) {
    uint32_t& at = plan_value_[ir::index_of(v)];
    if (at == kNone) {
      at = static_cast<uint32_t>(list_.values.size());
      list_.values.push_back({graph_.type(v).bytes(), -1, -1, -1});
    }
    return at;
  }

  void add_inputs() {
    for (const ir::Input& input : graph_.inputs()) {
      uint32_t v = value_of(input.value);
      if (input.kind == ir::Input::Kind::storage) {
        list_.values[v].input_slot = static_cast<int32_t>(input.index);
        list_.slot_count = std::max(list_.slot_count, input.index + 1);
        continue;
      }
      list_.values[v].parameter = static_cast<int32_t>(input.index);
      list_.scalar_count = std::max(list_.scalar_count, input.index + 1);
      list_.scalar_is_real.resize(list_.scalar_count);
      list_.scalar_is_real[input.index] = input.kind == ir::Input::Kind::scalar_real;
    }
  }

  void add_kernel(codegen::Kernel k) {
    ListedKernel out;
    for (size_t i = 0; i < k.buffers.size(); i++)
      out.uses.uses.push_back({value_of(k.buffers[i]), k.writes[i]});
    for (const codegen::Kernel::Alias& a : k.aliases)
      out.uses.aliases.push_back({a.output, a.input, a.must});
    out.source = std::move(k.source);
    out.op = k.op;
    list_.kernels.push_back(std::move(out));
  }

  // A value that is the contents of a second slot, or of another slot than the one it came from, or
  // a parameter, is copied by a kernel into a value of its own.
  void add_outputs() {
    for (const ir::Output& o : graph_.outputs()) {
      list_.slot_count = std::max(list_.slot_count, o.slot + 1);
      uint32_t v = value_of(codegen::base_of(graph_, o.value));
      sched::PlanValue& value = list_.values[v];
      int32_t slot = static_cast<int32_t>(o.slot);
      if (value.input_slot == slot) continue;  // unchanged
      list_.written_slots.push_back(o.slot);
      if (value.bytes == 0) continue;
      if (value.input_slot < 0 && value.output_slot < 0 && value.parameter < 0) {
        value.output_slot = slot;
        continue;
      }
      ListedKernel k;
      k.is_copy = true;
      k.uses.uses = {{v, false}, {static_cast<uint32_t>(list_.values.size()), true}};
      list_.values.push_back({graph_.type(o.value).bytes(), -1, slot, -1});
      list_.kernels.push_back(std::move(k));
    }
    std::sort(list_.written_slots.begin(), list_.written_slots.end());
  }

  ir::Graph graph_;
  std::vector<uint32_t> plan_value_;  // graph value -> value of the list
  KernelList list_;
};

class Placer {
 public:
  explicit Placer(KernelList list) : list_(std::move(list)) {}

  StatusOr<sched::Plan> run() {
    std::vector<sched::PlanKernel> uses;
    for (const ListedKernel& k : list_.kernels) uses.push_back(k.uses);
    MOAI_ASSIGN_OR_RETURN(memory_, sched::memory_plan(list_.values, uses, list_.slot_count));
    program_.buffers = std::move(memory_.buffers);
    program_.arena_bytes = memory_.arena_bytes;
    program_.bindings = list_.slot_count + 1;
    for (uint32_t k = 0; k < list_.kernels.size(); k++) {
      add_copies(k);
      add_kernel(list_.kernels[k]);
    }
    add_copies(static_cast<uint32_t>(list_.kernels.size()));
    auto& reads = plan_.read_slots;
    std::sort(reads.begin(), reads.end());
    reads.erase(std::unique(reads.begin(), reads.end()), reads.end());
    plan_.written_slots = std::move(list_.written_slots);
    plan_.scalar_count = list_.scalar_count;
    plan_.scalar_is_real = std::move(list_.scalar_is_real);
    plan_.programs.push_back({{0, 1}, std::move(program_)});
    return std::move(plan_);
  }

 private:
  static size_t operand_count(const KernelSource& source) {
    if (const auto* lib = std::get_if<LibraryKernel>(&source)) return lib->operands.size();
    return std::get<TileProgram>(source).buffers.size();
  }

  void add(std::vector<uint32_t> buffers, KernelSource source, uint32_t op) {
    program_.commands.push_back(
        {static_cast<uint32_t>(program_.kernels.size()), std::move(buffers), op});
    program_.kernels.push_back(std::move(source));
  }

  void add_copies(uint32_t before_kernel) {
    for (; next_copy_ < memory_.copies.size() &&
           memory_.copies[next_copy_].before_kernel == before_kernel;
         next_copy_++) {
      const sched::MemoryPlan::Copy& c = memory_.copies[next_copy_];
      note_read(c.from);
      add({c.from, c.to}, copy_program(c.bytes), kNone);
    }
  }

  void add_kernel(ListedKernel& k) {
    if (k.is_copy) k.source = copy_program(list_.values[k.uses.uses[1].value].bytes);
    const size_t operands = operand_count(k.source);
    std::vector<uint32_t> buffers;
    for (size_t i = 0; i < k.uses.uses.size(); i++) {
      const sched::PlanUse& use = k.uses.uses[i];
      if (!use.is_write) note_read(use.value);
      if (i < operands) buffers.push_back(use.value);
    }
    add(std::move(buffers), std::move(k.source), k.op);
  }

  void note_read(uint32_t v) {
    if (list_.values[v].input_slot >= 0)
      plan_.read_slots.push_back(static_cast<uint32_t>(list_.values[v].input_slot));
  }

  KernelList list_;
  sched::MemoryPlan memory_;
  size_t next_copy_ = 0;
  Program program_;
  sched::Plan plan_;
};

}  // namespace

StatusOr<KernelList> list_kernels(const ir::Graph& graph) {
  return Lister(codegen::canonicalize(graph)).run();
}

StatusOr<sched::Plan> place(KernelList list) { return Placer(std::move(list)).run(); }

}  // namespace moai::engine
