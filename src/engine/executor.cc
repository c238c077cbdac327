#include "src/engine/executor.h"

#include <algorithm>
#include <utility>

#include "src/base/clock.h"
#include "src/base/memory_text.h"

namespace moai::engine {

Executor::Executor(Device& device, MemoryLender& lender, uint64_t memory_bytes, Compiler compiler)
    : device_(device),
      memory_bytes_(memory_bytes),
      pool_(device, lender),
      values_(pool_),
      plans_(device, std::move(compiler)) {}

namespace {

// Fresh slots get ids in slot order.
uint64_t fresh_id(const Defined& defined, const wire::Execute& execute, uint32_t slot) {
  auto at = std::lower_bound(defined.fresh_slots.begin(), defined.fresh_slots.end(), slot);
  return execute.first_fresh_id + static_cast<uint64_t>(at - defined.fresh_slots.begin());
}

bool contains(const std::vector<uint32_t>& ascending, uint32_t slot) {
  return std::binary_search(ascending.begin(), ascending.end(), slot);
}

}  // namespace

StatusOr<CompiledPlan*> Executor::plan_for(const Defined& defined, const wire::Execute& execute) {
  if (CompiledPlan* plan = plans_.find(execute.segment, execute.live_out)) return plan;
  uint64_t begin = now_ns();
  StatusOr<CompiledPlan*> plan = plans_.compile(defined.segment, execute.live_out);
  if (trace_)
    trace_("compile", begin, now_ns(),
           std::to_string(defined.segment.op_count()) + " ops, " +
               (plan.ok() ? std::to_string((*plan)->kernels) + " kernels" +
                                ((*plan)->plan.is_resized ? ", from other sizes" : "")
                          : plan.status().to_string()));
  return plan;
}

Status Executor::check_bindings(const Defined& defined, const std::vector<uint64_t>& by_slot,
                                const CompiledPlan* plan) {
  for (uint32_t slot = 0; slot < by_slot.size(); slot++) {
    if (defined.segment.slots[slot].is_fresh) continue;
    const Stored* stored = values_.find(by_slot[slot]);
    if (stored == nullptr || stored->bytes < defined.segment.slots[slot].bytes)
      return invalid("[execute] slot " + std::to_string(slot) + " needs storage " +
                     std::to_string(by_slot[slot]) + " of " +
                     std::to_string(defined.segment.slots[slot].bytes) +
                     " bytes, which is not there");
    if (stored->poison != 0 && plan != nullptr && contains(plan->plan.read_slots, slot))
      return poisons_[stored->poison - 1].status;
  }
  return ok_status();
}

void Executor::add_fresh(const Defined& defined, uint32_t slot, uint64_t storage) {
  fresh_.push_back({slot, storage, defined.segment.slots[slot].bytes, {}});
}

Status Executor::out_of_memory(uint64_t wanted_bytes) {
  return out_of_memory_status(wanted_bytes, pool_.available_bytes(), memory_bytes_);
}

Status Executor::grow(Block& block, uint64_t bytes) {
  if (bytes <= block.bytes) return ok_status();
  // What it holds is transient: the old one goes first, so that both never count.
  pool_.put(std::exchange(block, {}));
  MOAI_ASSIGN_OR_RETURN(block, pool_.take(bytes));
  return ok_status();
}

Status Executor::grant(const Defined& defined, const std::vector<uint64_t>& by_slot,
                       const wire::Execute& execute, const CompiledPlan* plan) {
  for (uint32_t slot : execute.live_out)
    if (defined.segment.slots[slot].is_fresh)
      add_fresh(defined, slot, fresh_id(defined, execute, slot));
  if (plan != nullptr) {
    for (uint32_t slot : plan->plan.written_slots) {
      const wire::Slot& s = defined.segment.slots[slot];
      if (s.is_fresh) {
        if (!std::binary_search(execute.live_out.begin(), execute.live_out.end(), slot))
          add_fresh(defined, slot, 0);
      } else if (values_.find(by_slot[slot])->poison != 0) {
        add_fresh(defined, slot, by_slot[slot]);  // overwritten as a whole: sound again
      }
    }
  }
  uint64_t wanted = 0;
  for (const Fresh& fresh : fresh_) wanted += BlockPool::class_bytes(fresh.bytes);
  uint64_t arena_bytes = plan == nullptr ? 0 : plan->arena_bytes;
  if (arena_bytes > arena_.bytes) wanted += BlockPool::class_bytes(arena_bytes) - arena_.bytes;
  if (!pool_.has_room(wanted)) return out_of_memory(wanted);
  Status status = grow(arena_, arena_bytes);
  if (status.ok()) status = grow(parameters_, std::max<uint64_t>(8, execute.scalars.size() * 8));
  for (Fresh& fresh : fresh_) {
    if (!status.ok()) break;
    StatusOr<Block> block = pool_.take(fresh.bytes);
    if (block.ok())
      fresh.block = *block;
    else
      status = block.status();
  }
  return status.ok() ? status : out_of_memory(wanted);
}

void Executor::drop_fresh() {
  for (const Fresh& fresh : fresh_) pool_.put(fresh.block);
  fresh_.clear();
}

void Executor::keep_fresh() {
  for (const Fresh& fresh : fresh_) {
    if (fresh.storage != 0)
      values_.put(fresh.storage, fresh.bytes, fresh.block);
    else
      pool_.put(fresh.block);
  }
  fresh_.clear();
}

namespace {

std::string op_text(const wire::Segment& segment, uint32_t op) {
  return "aten::" + segment.names[segment.op_name[op]];
}

// Names the operator that a device's error belongs to.
Failure failure_of(const Status& status, const wire::Segment& segment, uint32_t op) {
  const bool is_sticky = status.code() != StatusCode::resource_exhausted;
  if (op >= segment.op_count()) return {status, is_sticky};
  return {Status(status.code(), op_text(segment, op) + ": " + status.message()), is_sticky, op};
}

}  // namespace

Failure Executor::run(const Defined& defined, const std::vector<uint64_t>& by_slot,
                      const wire::Execute& execute, CompiledPlan& plan) {
  const Program& program = plan.plan.programs[0].program;
  bindings_.assign(program.bindings, nullptr);
  size_t slots = std::min<size_t>(by_slot.size(), program.bindings);
  for (size_t slot = 0; slot < slots; slot++) {
    if (defined.segment.slots[slot].is_fresh) continue;
    bindings_[slot] = values_.find(by_slot[slot])->block.data;
  }
  for (const Fresh& fresh : fresh_)
    if (fresh.slot < program.bindings) bindings_[fresh.slot] = fresh.block.data;
  if (!execute.scalars.empty())
    device_.copy_in(parameters_.data, execute.scalars.data(), execute.scalars.size() * 8);
  if (program.bindings > 0) bindings_.back() = parameters_.data;
  if (trace_) plan.executable->ended_ns.resize(program.commands.size());
  uint64_t begin = now_ns();
  Status status = device_.run(*plan.executable, bindings_, arena_.data);
  uint64_t end = now_ns();
  counters_.busy_ns += end - begin;
  counters_.segments_run++;
  if (trace_)
    trace_("run", begin, end,
           std::to_string(defined.segment.op_count()) + " ops, " + std::to_string(plan.kernels) +
               " kernels");
  if (!status.ok()) {
    const size_t failed = plan.executable->failed_command;
    return failure_of(status, defined.segment,
                      failed < program.commands.size() ? program.commands[failed].source : kNoOp);
  }
  if (trace_) trace_kernels(defined.segment, program, plan.executable->ended_ns, begin);
  return {};
}

void Executor::trace_kernels(const wire::Segment& segment, const Program& program,
                             std::span<const uint64_t> ended_ns, uint64_t begin_ns) {
  for (size_t i = 0; i < ended_ns.size(); i++) {
    std::string text = sched::print(program.kernels[program.commands[i].kernel]);
    std::string name = text.substr(0, text.find(' '));
    if (uint32_t op = program.commands[i].source; op < segment.op_count())
      text = op_text(segment, op) + ": " + text;
    trace_(name.c_str(), begin_ns, ended_ns[i], text);
    begin_ns = ended_ns[i];
  }
}

namespace {

Status check_execute(const Defined& defined, const wire::Execute& execute) {
  if (execute.scalars.size() != defined.segment.scalar_count)
    return invalid("[execute] the segment takes " + std::to_string(defined.segment.scalar_count) +
                   " numbers, but " + std::to_string(execute.scalars.size()) + " came");
  for (size_t i = 0; i < execute.live_out.size(); i++)
    if (execute.live_out[i] >= defined.segment.slots.size() ||
        (i > 0 && execute.live_out[i] <= execute.live_out[i - 1]))
      return invalid("[execute] the slots that live on are not ascending slots of the segment");
  return ok_status();
}

}  // namespace

Failure Executor::execute(const Defined& defined, const std::vector<uint64_t>& by_slot,
                          const wire::Execute& execute) {
  if (Status status = check_execute(defined, execute); !status.ok()) return {status, true};
  if (Status status = check_bindings(defined, by_slot, nullptr); !status.ok())
    return {status, true};
  uint64_t allocations = pool_.device_allocations();
  CompiledPlan* plan = nullptr;
  if (defined.segment.op_count() > 0) {
    StatusOr<CompiledPlan*> found = plan_for(defined, execute);
    // Nothing of the segment ran: what was there before it is as it was.
    if (!found.ok()) return {found.status(), false};
    plan = *found;
    if (Status status = check_bindings(defined, by_slot, plan); !status.ok())
      return {status, false};
  }
  if (Status status = grant(defined, by_slot, execute, plan); !status.ok()) {
    drop_fresh();
    return {status, false};
  }
  counters_.peak_bytes = std::max(counters_.peak_bytes, pool_.used_bytes());
  if (plan != nullptr && plan->executable != nullptr) {
    if (Failure failure = run(defined, by_slot, execute, *plan); !failure.ok()) {
      drop_fresh();
      return failure;
    }
  }
  keep_fresh();
  counters_.run_allocations += pool_.device_allocations() - allocations;
  return {};
}

uint32_t Executor::poison_index(const Failure& why) {
  if (poisons_.empty() || poisons_.back().status.message() != why.status.message())
    poisons_.push_back(why);
  return static_cast<uint32_t>(poisons_.size());
}

void Executor::poison(const Defined& defined, const wire::Execute& execute, const Failure& why) {
  for (uint32_t slot : execute.live_out) {
    if (slot >= defined.segment.slots.size() || !defined.segment.slots[slot].is_fresh) continue;
    values_.put_poisoned(fresh_id(defined, execute, slot), defined.segment.slots[slot].bytes,
                         poison_index(why));
  }
}

StatusOr<Block> Executor::begin_upload(uint64_t storage, uint64_t bytes) {
  if (storage == 0) return invalid("[upload] storage 0 does not exist");
  StatusOr<Block> block = pool_.take(bytes);
  if (!block.ok()) return out_of_memory(BlockPool::class_bytes(bytes));
  values_.put(storage, bytes, *block);
  counters_.peak_bytes = std::max(counters_.peak_bytes, pool_.used_bytes());
  return *block;
}

void Executor::poison_upload(uint64_t storage, uint64_t bytes, const Failure& why) {
  values_.put_poisoned(storage, bytes, poison_index(why));
}

StatusOr<const Stored*> Executor::find_readable(const wire::Read& read) {
  const Stored* stored = values_.find(read.storage);
  if (stored == nullptr)
    return invalid("[read] storage " + std::to_string(read.storage) + " does not exist");
  if (stored->poison != 0) return poisons_[stored->poison - 1].status;
  MOAI_RETURN_IF_ERROR(check_view(read.view, stored->bytes));
  if (read.view.is_conj || read.view.is_neg)
    return invalid("[read] a conjugate or negative view has no bytes of its own; read its base");
  return stored;
}

void Executor::kill(std::span<const uint64_t> storages) {
  for (uint64_t id : storages) values_.erase(id);
}

}  // namespace moai::engine
