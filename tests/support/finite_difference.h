// Gradients of a plain formula by central differences, in double.
#pragma once
#include <functional>
#include <random>
#include <vector>

#include "tests/support/lower_harness.h"

namespace moai::testing {

using Values = std::vector<double>;
// The operands of a formula, and the sum of its results times given weights.
using Formula = std::function<double(const std::vector<Values>&)>;

inline Values random_values(int64_t count, uint32_t seed, double lo = -1.5, double hi = 1.5) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> draw(lo, hi);
  Values v(static_cast<size_t>(count));
  for (double& x : v) x = draw(engine);
  return v;
}

inline Values gradient_of(const Formula& f, std::vector<Values> operands, size_t which) {
  constexpr double kStep = 1e-5;
  Values gradient;
  for (double& x : operands[which]) {
    const double at = x;
    x = at + kStep;
    const double above = f(operands);
    x = at - kStep;
    gradient.push_back((above - f(operands)) / (2 * kStep));
    x = at;
  }
  return gradient;
}

inline double weighted(const Values& results, const Values& weights) {
  double sum = 0;
  for (size_t i = 0; i < results.size(); i++) sum += results[i] * weights[i];
  return sum;
}

// f64, whatever the recorder would send: the evaluator then computes as the formula does.
inline TensorArg given64(Harness& h, const Shape& sizes, const Values& values) {
  return h.given(DType::f64, sizes, values);
}
inline TensorArg fresh64(Harness& h, const Shape& sizes) { return h.fresh(DType::f64, sizes); }

}  // namespace moai::testing
