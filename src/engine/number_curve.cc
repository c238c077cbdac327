#include "src/engine/number_curve.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace moai::engine {
namespace {

using Wide = __int128;

// Of a number that changes, so that differences fit.
constexpr int64_t kNumberMax = int64_t{1} << 60;
// Of positions and steps of a parabola, so that their products fit a Wide.
constexpr int64_t kFarthest = int64_t{1} << 31;

int64_t floor_div(int64_t a, int64_t b) {  // b > 0
  return a / b - (a % b < 0);
}
int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

bool is_far(int64_t x) { return x > kFarthest || x < -kFarthest; }
bool fits(Wide x) { return x <= kNumberMax && x >= -kNumberMax; }

}  // namespace

std::optional<NumberCurve> NumberCurve::line(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return std::nullopt;
  NumberCurve curve;
  curve.base_ = a;
  int64_t unit = 0;
  for (size_t i = 0; i < a.size(); i++)
    if (a[i] != b[i]) {
      if (!fits(a[i]) || !fits(b[i])) return std::nullopt;
      curve.changing_.push_back({i, b[i] - a[i], 0});
      unit = std::gcd(unit, b[i] - a[i]);
    }
  if (unit == 0) return std::nullopt;
  if (curve.changing_[0].step < 0) unit = -unit;
  for (Changing& changing : curve.changing_) changing.step /= unit;
  return curve;
}

// The number with the smallest differences is taken for the size itself.
std::optional<NumberCurve> NumberCurve::parabola(const Numbers& a, const Numbers& b,
                                                 const Numbers& c) {
  if (a.size() != b.size() || a.size() != c.size()) return std::nullopt;
  for (size_t i = 0; i < a.size(); i++)
    if ((a[i] != b[i] || a[i] != c[i]) && !(fits(a[i]) && fits(b[i]) && fits(c[i])))
      return std::nullopt;
  size_t size = a.size();
  for (size_t i = 0; i < a.size(); i++)
    if (a[i] != b[i] && b[i] != c[i] && c[i] != a[i] &&
        (size == a.size() || std::abs(b[i] - a[i]) < std::abs(b[size] - a[size])))
      size = i;
  if (size == a.size()) return std::nullopt;
  const int64_t unit = std::gcd(b[size] - a[size], c[size] - a[size]);
  const int64_t tb = (b[size] - a[size]) / unit, tc = (c[size] - a[size]) / unit;
  if (is_far(tb) || is_far(tc)) return std::nullopt;
  NumberCurve curve;
  curve.base_ = a;
  for (size_t i = 0; i < a.size(); i++) {
    if (a[i] == b[i] && a[i] == c[i]) continue;
    const Wide to_b = b[i] - a[i], to_c = c[i] - a[i];
    const Wide bend = 2 * (to_c * tb - to_b * tc), bends = Wide{tb} * tc * (tc - tb);
    if (bend % bends != 0) return std::nullopt;
    const Wide rest = to_b - bend / bends * tb * (tb - 1) / 2;
    if (rest % tb != 0) return std::nullopt;
    const Wide step = rest / tb;
    if (!fits(step) || !fits(bend / bends)) return std::nullopt;
    if (i == size) curve.measure_ = curve.changing_.size();
    curve.changing_.push_back({i, static_cast<int64_t>(step), static_cast<int64_t>(bend / bends)});
  }
  return curve;
}

std::optional<int64_t> NumberCurve::position_of(const Numbers& numbers) const {
  if (numbers.size() != base_.size()) return std::nullopt;
  const Changing& measure = changing_[measure_];
  if (!fits(numbers[measure.number])) return std::nullopt;
  const int64_t away = numbers[measure.number] - base_[measure.number];
  if (away % measure.step != 0) return std::nullopt;
  const int64_t t = away / measure.step;
  auto changing = changing_.begin();
  for (size_t i = 0; i < base_.size(); i++) {
    Wide expected = base_[i];
    if (changing != changing_.end() && changing->number == i) {
      if (changing->bend != 0) {
        if (is_far(t)) return std::nullopt;
        expected += Wide{t} * (t - 1) / 2 * changing->bend;
      }
      expected += Wide{t} * changing->step;
      changing++;
    }
    if (expected != numbers[i]) return std::nullopt;
  }
  return t;
}

std::optional<NumberCurve::Numbers> NumberCurve::at(int64_t t) const {
  Numbers numbers = base_;
  for (const Changing& changing : changing_) {
    if (changing.bend != 0 && is_far(t)) return std::nullopt;
    Wide x = numbers[changing.number] + Wide{t} * changing.step;
    if (changing.bend != 0) x += Wide{t} * (t - 1) / 2 * changing.bend;
    if (!fits(x)) return std::nullopt;
    numbers[changing.number] = static_cast<int64_t>(x);
  }
  return numbers;
}

std::pair<int64_t, int64_t> NumberCurve::doubling_around(int64_t t) const {
  const Changing* fastest = &changing_[measure_];
  double least = INFINITY;
  for (const Changing& changing : changing_) {
    if (changing.bend != 0 || changing.step <= 0) continue;
    const int64_t value = base_[changing.number] + t * changing.step;
    if (value <= 0) continue;
    const double steps_to_here = static_cast<double>(value) / static_cast<double>(changing.step);
    if (steps_to_here < least) least = steps_to_here, fastest = &changing;
  }
  const int64_t base = base_[fastest->number], step = fastest->step;
  const int64_t value = std::max<int64_t>(base + t * step, 1);
  const auto above = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(value)));
  int64_t lo = ceil_div(above / 2 + 1 - base, step), hi = floor_div(above - base, step);
  for (const Changing& changing : changing_) {
    if (changing.bend != 0) continue;
    const int64_t from = base_[changing.number];
    if (changing.step > 0) lo = std::max(lo, ceil_div(-from, changing.step));
    if (changing.step < 0) hi = std::min(hi, floor_div(from, -changing.step));
  }
  return {std::min(lo, t), std::max(hi, t)};
}

}  // namespace moai::engine
