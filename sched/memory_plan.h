// Offsets and in-place decisions for an ordered list of kernels. Pure; linear in their number.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "moai/device.h"
#include "moai/status.h"

namespace moai::sched {

// A buffer value of the program: what the memory plan sees of an IR value.
struct PlanValue {
  uint64_t bytes = 0;
  int32_t input_slot = -1;   // storage slot whose contents it is at the start, or -1
  int32_t output_slot = -1;  // storage slot whose contents it becomes, or -1
  int32_t parameter = -1;    // index of a lifted scalar, or -1
  // The value that it lies in, from byte part_at on, or -1. Neither is an input; a part is no
  // output and has no parts.
  int32_t part_of = -1;
  uint64_t part_at = 0;
  bool operator==(const PlanValue&) const = default;
};
struct PlanUse {
  uint32_t value;
  bool is_write;
  bool operator==(const PlanUse&) const = default;
};
struct PlanAlias {
  uint32_t output, input;  // positions in uses
  bool must;               // partial write: share, or copy first
  bool operator==(const PlanAlias&) const = default;
};
struct PlanKernel {
  std::vector<PlanUse> uses;
  std::vector<PlanAlias> aliases;
  bool operator==(const PlanKernel&) const = default;
};

// Where each value lies. Bindings: [0, slot count) input or updated storages by slot; fresh
// live-out storages by their slot as well; the last one is the parameter block (8 bytes a lifted
// scalar).
struct MemoryPlan {
  std::vector<Buffer> buffers;  // one per value
  struct Copy {
    uint32_t before_kernel, from, to;
    uint64_t bytes;
  };                         // value indices; kernel count = at the end
  std::vector<Copy> copies;  // old versions kept, must-aliases not shared, write-backs
  uint64_t arena_bytes = 0;
};
StatusOr<MemoryPlan> memory_plan(std::span<const PlanValue> values,
                                 std::span<const PlanKernel> kernels, uint32_t slot_count);

}  // namespace moai::sched
