// What a segment's plan runs, before anything has a place in memory.
#pragma once
#include <cstdint>
#include <vector>

#include "moai/device.h"
#include "sched/memory_plan.h"
#include "sched/plan.h"
#include "src/ir/graph.h"

namespace moai::engine {

struct ListedKernel {
  KernelSource source;
  uint32_t op = UINT32_MAX;  // of the segment
  // Copies the bytes of its one input to its one output: `source` comes with them.
  bool is_copy = false;
  sched::PlanKernel uses;  // of KernelList::values
  bool operator==(const ListedKernel&) const = default;
};

struct KernelList {
  std::vector<ListedKernel> kernels;  // in execution order
  std::vector<sched::PlanValue> values;
  uint32_t slot_count = 0;
  std::vector<uint32_t> written_slots;  // ascending
  uint32_t scalar_count = 0;
  std::vector<uint8_t> scalar_is_real;
  bool operator==(const KernelList&) const = default;
};

// Canonicalizes, fuses and emits.
StatusOr<KernelList> list_kernels(const ir::Graph& graph);
// Plans the memory and puts the program together.
StatusOr<sched::Plan> place(KernelList list);

}  // namespace moai::engine
