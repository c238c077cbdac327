// Segments that differ in one growing size: the kernels of all from the plans of a few.
//
// A family are the segments of one skeleton and live-out set whose numbers lie on a line, or on a
// parabola where two dimensions have the size. One segment more than it takes to draw the curve
// makes the family; the second segment in a range of sizes, from a power of two to the next, makes
// that range's kernels. So a key/value cache that grows to n is planned a few times for each
// doubling of n. docs/design/plan_families.md.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/engine/number_curve.h"
#include "src/engine/sized_kernels.h"
#include "src/wire/segment.h"

namespace moai::engine {

// The kernels of a segment in full.
using KernelsOf = std::function<StatusOr<KernelList>(const wire::Segment&)>;

class PlanFamilies {
 public:
  explicit PlanFamilies(uint64_t bytes_max = uint64_t{64} << 20) : bytes_max_(bytes_max) {}

  // The kernels of the segment from those of its family; nullopt where it has none yet: list them
  // in full. `list` belongs to this live-out set.
  std::optional<KernelList> find(const wire::Segment& segment, std::span<const uint32_t> live_out,
                                 const KernelsOf& list);
  uint64_t bytes() const { return bytes_; }

 private:
  using Numbers = std::vector<int64_t>;
  struct Range {
    int64_t lo = 0, hi = 0;  // positions
    uint64_t seen = 0;
    std::optional<SizedKernels> kernels;
  };
  struct Family {
    NumberCurve curve;
    std::vector<Range> ranges;
    Range& range_of(int64_t t);
    uint64_t bytes() const;
  };
  struct Kin {                  // segments of one skeleton
    std::vector<Numbers> lone;  // of segments in no family, the last ones
    std::vector<Family> families;
  };
  struct SkeletonHash {
    size_t operator()(const std::vector<uint64_t>& skeleton) const;
  };
  static std::optional<NumberCurve> curve_of(const Kin& kin, const Numbers& numbers);
  Kin& kin_of(const wire::Segment& segment, std::span<const uint32_t> live_out);
  struct Place {
    Family* family;
    int64_t t;
  };
  std::optional<Place> place_of(Kin& kin, const Numbers& numbers);
  static std::optional<SizedKernels> kernels_of(const Family& family, const Range& range,
                                                const wire::Segment& segment,
                                                const KernelsOf& list);

  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::unordered_map<std::vector<uint64_t>, Kin, SkeletonHash> kin_;
};

}  // namespace moai::engine
