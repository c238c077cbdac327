// Runs segments, uploads and reads against one device: storages, plans and the arena of a session.
//
// Thread rule: one thread.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "src/engine/plan_cache.h"
#include "src/engine/segment_store.h"
#include "src/engine/value_table.h"

namespace moai::engine {

inline constexpr uint32_t kNoOp = UINT32_MAX;

// Why something failed, and whether everything after it fails as well.
struct Failure {
  Status status;
  bool is_sticky = false;
  uint32_t op_index = kNoOp;  // in its segment, where the device says which
  bool ok() const { return status.ok(); }
};

struct ExecutorCounters {
  uint64_t busy_ns = 0;
  uint64_t peak_bytes = 0;
  uint64_t run_allocations = 0;  // by the device, while segments ran
  uint64_t segments_run = 0;
};

// Spans of --trace: name, begin, end in ns.
using TraceSpan = std::function<void(const char* name, uint64_t begin_ns, uint64_t end_ns,
                                     const std::string& detail)>;

class Executor {
 public:
  Executor(Device& device, MemoryLender& lender, uint64_t memory_bytes, Compiler compiler);

  void set_trace(TraceSpan trace) { trace_ = std::move(trace); }

  // by_slot: the bound storage of every slot. Nothing has changed when it returns
  // resource_exhausted.
  Failure execute(const Defined& defined, const std::vector<uint64_t>& by_slot,
                  const wire::Execute& execute);
  // Gives the fresh storages of an execution that did not run their error.
  void poison(const Defined& defined, const wire::Execute& execute, const Failure& why);
  // A block for a new storage; the caller fills it.
  StatusOr<Block> begin_upload(uint64_t storage, uint64_t bytes);
  void poison_upload(uint64_t storage, uint64_t bytes, const Failure& why);
  // Finds what a read looks at. Returns the storage's own error when it is poisoned.
  StatusOr<const Stored*> find_readable(const wire::Read& read);
  void kill(std::span<const uint64_t> storages);

  Device& device() { return device_; }
  const ValueTable& values() const { return values_; }
  const PlanCache& plans() const { return plans_; }
  BlockPool& pool() { return pool_; }
  const ExecutorCounters& counters() const { return counters_; }
  void reset_peak() { counters_.peak_bytes = pool_.used_bytes(); }

 private:
  struct Fresh {
    uint32_t slot;
    uint64_t storage;  // 0: the plan writes it, nobody keeps it
    uint64_t bytes;
    Block block;
  };
  StatusOr<CompiledPlan*> plan_for(const Defined& defined, const wire::Execute& execute);
  Status check_bindings(const Defined& defined, const std::vector<uint64_t>& by_slot,
                        const CompiledPlan* plan);
  Status grant(const Defined& defined, const std::vector<uint64_t>& by_slot,
               const wire::Execute& execute, const CompiledPlan* plan);
  Status grow(Block& block, uint64_t bytes);
  Status out_of_memory(uint64_t wanted_bytes);
  void add_fresh(const Defined& defined, uint32_t slot, uint64_t storage);
  void drop_fresh();
  void keep_fresh();
  Failure run(const Defined& defined, const std::vector<uint64_t>& by_slot,
              const wire::Execute& execute, CompiledPlan& plan);
  void trace_kernels(const wire::Segment& segment, const Program& program,
                     std::span<const uint64_t> ended_ns, uint64_t begin_ns);
  uint32_t poison_index(const Failure& why);

  Device& device_;
  uint64_t memory_bytes_;
  BlockPool pool_;
  ValueTable values_;
  PlanCache plans_;
  Block arena_, parameters_;
  std::vector<Fresh> fresh_;  // of the execution under way
  std::vector<void*> bindings_;
  std::vector<Failure> poisons_;
  ExecutorCounters counters_;
  TraceSpan trace_;
};

}  // namespace moai::engine
