// Compiled plans by segment and live-out set. A hit compares a hash and a list, nothing more.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moai/device.h"
#include "moai/ids.h"
#include "moai/status.h"
#include "sched/plan.h"
#include "src/wire/segment.h"

namespace moai::engine {

struct CompiledPlan {
  std::vector<uint32_t> live_out;  // what it was compiled for
  sched::Plan plan;
  std::unique_ptr<Executable> executable;  // null when nothing has to run
  uint64_t arena_bytes = 0;
  uint64_t bytes = 0;  // of the plan itself, roughly
  uint64_t last_use = 0;
  size_t kernels = 0;
};

using Compiler =
    std::function<StatusOr<sched::Plan>(const wire::Segment&, std::span<const uint32_t> live_out)>;

class PlanCache {
 public:
  PlanCache(Device& device, Compiler compiler, uint64_t bytes_max = uint64_t{256} << 20)
      : device_(device), compiler_(std::move(compiler)), bytes_max_(bytes_max) {}

  // A plan whose live-out set holds `live_out`; nullptr when it has to be compiled.
  CompiledPlan* find(const SegmentId& id, std::span<const uint32_t> live_out);
  // Compiles and keeps it. A segment has at most kVariantsMax plans; then one that covers all sets.
  StatusOr<CompiledPlan*> compile(const wire::Segment& segment, std::span<const uint32_t> live_out);

  // Plans made in full, and plans whose kernels come from those of other sizes.
  uint64_t plans_built() const { return plans_built_; }
  uint64_t plans_resized() const { return plans_resized_; }
  uint64_t kernels_built() const { return kernels_built_; }
  uint64_t hits() const { return hits_; }
  uint64_t planning_ns() const { return planning_ns_; }
  uint64_t bytes() const { return bytes_; }
  // Segments that have a plan.
  size_t size() const { return plans_.size(); }

  static constexpr size_t kVariantsMax = 8;

 private:
  using Variants = std::vector<std::unique_ptr<CompiledPlan>>;
  void shrink(const CompiledPlan* keep);
  Device& device_;
  Compiler compiler_;
  uint64_t bytes_max_;
  uint64_t bytes_ = 0, clock_ = 0;
  uint64_t plans_built_ = 0, plans_resized_ = 0, kernels_built_ = 0, hits_ = 0, planning_ns_ = 0;
  std::unordered_map<SegmentId, Variants, SegmentIdHash> plans_;
};

}  // namespace moai::engine
