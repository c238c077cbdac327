#include "src/engine/plan_families.h"

#include <utility>

#include "src/base/hash.h"
#include "src/engine/segment_numbers.h"

namespace moai::engine {
namespace {

constexpr size_t kLoneMax = 6, kFamiliesMax = 8;
constexpr uint64_t kMadeFor = 2;  // the segment of a range that its kernels are made for

}  // namespace

size_t PlanFamilies::SkeletonHash::operator()(const std::vector<uint64_t>& skeleton) const {
  Hash128 hash;
  for (uint64_t word : skeleton) hash.add(word);
  return hash.id().hi;
}

PlanFamilies::Range& PlanFamilies::Family::range_of(int64_t t) {
  for (Range& range : ranges)
    if (range.lo <= t && t <= range.hi) return range;
  const auto [lo, hi] = curve.doubling_around(t);
  Range range;
  range.lo = lo, range.hi = hi;
  return ranges.emplace_back(std::move(range));
}

std::optional<NumberCurve> PlanFamilies::curve_of(const Kin& kin, const Numbers& numbers) {
  const std::vector<Numbers>& lone = kin.lone;
  for (size_t b = lone.size(); b-- > 1;)
    for (size_t a = b; a-- > 0;)
      if (auto line = NumberCurve::line(lone[a], lone[b]); line && line->position_of(numbers))
        return line;
  for (size_t c = lone.size(); c-- > 2;)
    for (size_t b = c; b-- > 1;)
      for (size_t a = b; a-- > 0;)
        if (auto curve = NumberCurve::parabola(lone[a], lone[b], lone[c]);
            curve && curve->position_of(numbers))
          return curve;
  return std::nullopt;
}

PlanFamilies::Kin& PlanFamilies::kin_of(const wire::Segment& segment,
                                        std::span<const uint32_t> live_out) {
  if (bytes_ > bytes_max_) kin_.clear(), bytes_ = 0;
  std::vector<uint64_t> skeleton = skeleton_of(segment);
  skeleton.insert(skeleton.end(), live_out.begin(), live_out.end());
  const auto [at, is_new] = kin_.try_emplace(std::move(skeleton));
  if (is_new) bytes_ += at->first.size() * sizeof(uint64_t) + sizeof(Kin);
  return at->second;
}

// Where the numbers are in their family, perhaps a new one; nullopt where there is none.
std::optional<PlanFamilies::Place> PlanFamilies::place_of(Kin& kin, const Numbers& numbers) {
  for (Family& known : kin.families)
    if (auto t = known.curve.position_of(numbers)) return Place{&known, *t};
  if (std::optional<NumberCurve> curve = curve_of(kin, numbers)) {
    bytes_ += curve->bytes();
    if (kin.families.size() == kFamiliesMax) {
      bytes_ -= kin.families.front().bytes();
      kin.families.erase(kin.families.begin());
    }
    const int64_t t = *curve->position_of(numbers);
    return Place{&kin.families.emplace_back(Family{std::move(*curve), {}}), t};
  }
  if (kin.lone.size() == kLoneMax)
    kin.lone.erase(kin.lone.begin());
  else
    bytes_ += numbers.size() * sizeof(int64_t);
  kin.lone.push_back(numbers);
  return std::nullopt;
}

uint64_t PlanFamilies::Family::bytes() const {
  uint64_t bytes = curve.bytes();
  for (const Range& range : ranges)
    if (range.kernels) bytes += range.kernels->bytes();
  return bytes;
}

std::optional<SizedKernels> PlanFamilies::kernels_of(const Family& family, const Range& range,
                                                     const wire::Segment& segment,
                                                     const KernelsOf& list) {
  if (range.hi - range.lo + 1 < SizedKernels::kRangeMin) return std::nullopt;
  return SizedKernels::make(range.lo, range.hi, [&](int64_t t) -> StatusOr<KernelList> {
    const std::optional<Numbers> there = family.curve.at(t);
    if (!there) return invalid("[plan] a number of the range does not fit");
    MOAI_ASSIGN_OR_RETURN(wire::Segment other, with_numbers(segment, *there));
    return list(other);
  });
}

std::optional<KernelList> PlanFamilies::find(const wire::Segment& segment,
                                             std::span<const uint32_t> live_out,
                                             const KernelsOf& list) {
  const Numbers numbers = numbers_of(segment);
  const std::optional<Place> place = place_of(kin_of(segment, live_out), numbers);
  if (!place) return std::nullopt;
  const auto [family, t] = *place;
  Range& range = family->range_of(t);
  if (++range.seen == kMadeFor) {
    range.kernels = kernels_of(*family, range, segment, list);
    if (range.kernels) bytes_ += range.kernels->bytes();
  }
  if (!range.kernels) return std::nullopt;
  return range.kernels->at(t);
}

}  // namespace moai::engine
