#include "src/engine/plan_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "src/base/clock.h"

namespace moai::engine {

namespace {

uint64_t bytes_of(const Program& program) {
  return program.kernels.size() * 2048 + program.buffers.size() * sizeof(Buffer) +
         program.commands.size() * 96;
}

bool equal(const std::vector<uint32_t>& a, std::span<const uint32_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

CompiledPlan* PlanCache::find(const SegmentId& id, std::span<const uint32_t> live_out) {
  auto at = plans_.find(id);
  if (at == plans_.end()) return nullptr;
  CompiledPlan* found = nullptr;
  for (const auto& variant : at->second)
    if (equal(variant->live_out, live_out)) found = variant.get();
  if (found == nullptr && at->second.size() > kVariantsMax) {
    CompiledPlan* widest = at->second.back().get();
    if (std::includes(widest->live_out.begin(), widest->live_out.end(), live_out.begin(),
                      live_out.end()))
      found = widest;
  }
  if (found == nullptr) return nullptr;
  found->last_use = ++clock_;
  hits_++;
  return found;
}

StatusOr<CompiledPlan*> PlanCache::compile(const wire::Segment& segment,
                                           std::span<const uint32_t> live_out) {
  auto compiled = std::make_unique<CompiledPlan>();
  compiled->live_out.assign(live_out.begin(), live_out.end());
  Variants& variants = plans_[segment.id];
  bool is_widest = variants.size() >= kVariantsMax;
  if (is_widest) {
    // The set changes all the time: one plan that keeps whatever any of them kept.
    std::vector<uint32_t>& all = compiled->live_out;
    for (const auto& variant : variants)
      all.insert(all.end(), variant->live_out.begin(), variant->live_out.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  const uint64_t begin_ns = now_ns();
  MOAI_ASSIGN_OR_RETURN(compiled->plan, compiler_(segment, compiled->live_out));
  if (compiled->plan.programs.size() != 1)
    return internal_error("[plan] a plan for one device has " +
                          std::to_string(compiled->plan.programs.size()) + " programs");
  const Program& program = compiled->plan.programs[0].program;
  if (!program.commands.empty()) {
    MOAI_ASSIGN_OR_RETURN(compiled->executable, device_.load(program));
  }
  compiled->arena_bytes = program.arena_bytes;
  compiled->kernels = program.kernels.size();
  compiled->bytes = bytes_of(program);
  compiled->last_use = ++clock_;
  planning_ns_ += now_ns() - begin_ns;
  (compiled->plan.is_resized ? plans_resized_ : plans_built_)++;
  kernels_built_ += compiled->kernels;
  bytes_ += compiled->bytes;
  if (is_widest && variants.size() > kVariantsMax) {
    bytes_ -= variants.back()->bytes;
    variants.pop_back();
  }
  variants.push_back(std::move(compiled));
  CompiledPlan* result = variants.back().get();
  shrink(result);
  return result;
}

void PlanCache::shrink(const CompiledPlan* keep) {
  if (bytes_ <= bytes_max_) return;
  std::vector<uint64_t> uses;
  for (const auto& [id, variants] : plans_)
    for (const auto& plan : variants) uses.push_back(plan->last_use);
  // A quarter at a time: a program that needs a new plan each step would look through all of them
  // each step.
  auto last = uses.begin() + static_cast<ptrdiff_t>(uses.size() / 4);
  std::nth_element(uses.begin(), last, uses.end());
  const uint64_t oldest_kept = *last;
  for (auto at = plans_.begin(); at != plans_.end();) {
    std::erase_if(at->second, [&](const std::unique_ptr<CompiledPlan>& plan) {
      if (plan.get() == keep || plan->last_use > oldest_kept) return false;
      bytes_ -= plan->bytes;
      return true;
    });
    at = at->second.empty() ? plans_.erase(at) : std::next(at);
  }
}

}  // namespace moai::engine
