// The kernels of a plan for every value of one size, worked out from a few of them.
//
// Planning is a function of numbers. Where it takes the same decisions, each number of its kernels
// (sizes, strides, offsets, bytes, counts) is a polynomial of the size, of degree two at most. So
// kernels are listed in full for five sizes: the first three of a range, which give the
// polynomials, and its last two, which confirm them. All else has to be equal in all five. Why that
// covers what lies between: docs/design/plan_families.md.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "src/engine/kernel_list.h"

namespace moai::engine {

// The kernels for size t.
using KernelsAt = std::function<StatusOr<KernelList>(int64_t t)>;

// Whether all but the numbers is equal and the numbers are not: one of the two is wrong.
bool differ_in_numbers(KernelList a, KernelList b);

class SizedKernels {
 public:
  static constexpr int64_t kRangeMin = 8;  // sizes: less is not worth five plans
  // nullopt where plans of [lo, hi] differ in more than numbers. Requires: hi - lo + 1 >=
  // kRangeMin.
  static std::optional<SizedKernels> make(int64_t lo, int64_t hi, const KernelsAt& kernels_at);

  // Requires: t in [lo, hi].
  KernelList at(int64_t t) const;
  uint64_t bytes() const;  // of memory, roughly

 private:
  // value(t) = first + d1 * s + d2 * s * (s - 1) / 2 with s = t - lo
  struct Changing {
    size_t number;  // in the order of for_each_number()
    int64_t first = 0, d1 = 0, d2 = 0;
    int64_t at(int64_t s) const;
  };
  int64_t lo_ = 0;
  KernelList first_;
  std::vector<Changing> changing_;  // ascending
};

}  // namespace moai::engine
