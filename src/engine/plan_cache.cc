#include "src/engine/plan_cache.h"

#include <algorithm>
#include <string>
#include <utility>

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
  plans_built_++;
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
  while (bytes_ > bytes_max_) {
    Variants* from = nullptr;
    size_t index = 0;
    for (auto& [id, variants] : plans_)
      for (size_t i = 0; i < variants.size(); i++)
        if (variants[i].get() != keep &&
            (from == nullptr || variants[i]->last_use < (*from)[index]->last_use))
          from = &variants, index = i;
    if (from == nullptr) return;
    bytes_ -= (*from)[index]->bytes;
    from->erase(from->begin() + static_cast<ptrdiff_t>(index));
  }
}

}  // namespace moai::engine
