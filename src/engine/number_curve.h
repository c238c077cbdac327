// Lists of numbers on a curve: position t has `base + t * step + t * (t - 1) / 2 * bend`.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace moai::engine {

class NumberCurve {
 public:
  using Numbers = std::vector<int64_t>;

  // The curve of degree one, or two, through the lists: position 0 is `a`, and positions are as
  // close as whole numbers allow. nullopt where there is none, or numbers beyond 2^60 change: a
  // peer's may be anything.
  static std::optional<NumberCurve> line(const Numbers& a, const Numbers& b);
  static std::optional<NumberCurve> parabola(const Numbers& a, const Numbers& b, const Numbers& c);

  std::optional<int64_t> position_of(const Numbers& numbers) const;
  // nullopt where one does not fit an int64_t.
  std::optional<Numbers> at(int64_t t) const;
  // First and last position around t, which is on the curve, where the number that grows fastest
  // for its size at most doubles, from just above a power of two to the next, and no number that
  // changes with the same step everywhere is negative.
  std::pair<int64_t, int64_t> doubling_around(int64_t t) const;
  uint64_t bytes() const {  // of memory
    return base_.size() * sizeof(int64_t) + changing_.size() * sizeof(Changing);
  }

 private:
  struct Changing {
    size_t number;
    int64_t step, bend;
  };
  Numbers base_;
  std::vector<Changing> changing_;  // ascending
  size_t measure_ = 0;              // in changing_: one without bend and with step > 0
};

}  // namespace moai::engine
