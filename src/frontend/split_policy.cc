// Runs of steady operators, and whether it pays to tell them apart.
#include "src/frontend/split_policy.h"

#include <algorithm>

namespace moai::frontend {
namespace {

constexpr size_t kRunMin = 2;            // known operators that are worth a segment
constexpr uint64_t kGenerationMin = 16;  // operators; below that a plan costs little
constexpr int kScoreMax = 8;
constexpr int kJudgedGenerations = 16;
constexpr uint32_t kRestMax = 4096;
constexpr size_t kSeenMax = 1 << 16;

}  // namespace

bool SplitPolicy::is_steady(uint64_t signature) {
  if (seen_.size() >= kSeenMax) seen_.clear();
  Seen& seen = seen_.try_emplace(signature, Seen{number_, number_, 0}).first->second;
  if (seen.last != number_) seen.last = number_, seen.count++;
  return seen.first != number_ && seen.count * 2 >= number_ - seen.first;
}

bool SplitPolicy::note_op(uint64_t signature, size_t ops_before) {
  const bool steady = is_steady(signature);
  if (ops_before == 0) {
    is_run_steady_ = steady, run_ = 1;
    return false;
  }
  if (steady == is_run_steady_) {
    run_++;
    return false;
  }
  if (!steady && run_ < kRunMin) {
    is_run_steady_ = false, run_++;
    return false;
  }
  return true;
}

void SplitPolicy::note_cut(size_t ops, bool is_new, bool is_split) {
  if (is_new) generation_.new_ops += ops;
  generation_.ops += ops;
  generation_.splits += is_split;
  if (!is_split) end_generation();
}

void SplitPolicy::end_generation() {
  const Generation g = generation_;
  generation_ = {};
  number_++;
  if (g.ops < kGenerationMin) return;
  if (rest_ > 0) {
    rest_--;
  } else if (is_active_) {
    judged_.splits += g.splits;
    if (g.new_ops > 0) judged_.ops += g.ops, judged_.new_ops += g.new_ops;
    if (++judged_count_ == kJudgedGenerations) judge();
  } else {
    score_ = g.new_ops > g.ops / 4 ? score_ + 2 : std::max(0, score_ - 1);
    is_active_ = score_ >= kScoreMax;
  }
}

// Splits cost a little each: they have to spare half of the plans.
void SplitPolicy::judge() {
  const bool is_needed = judged_.new_ops > 0 || judged_.splits > 0;
  const bool pays = judged_.new_ops * 2 <= judged_.ops;
  judged_ = {}, judged_count_ = 0;
  if (is_needed && pays) return;
  is_active_ = false, score_ = 0;
  seen_.clear();
  if (!is_needed) return;
  rest_ = next_rest_;
  next_rest_ = std::min(2 * next_rest_, kRestMax);
}

}  // namespace moai::frontend
