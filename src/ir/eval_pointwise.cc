// Pointwise primitives: floats in double, integers in wrapping i64, one rounding to the result's
// dtype.
#include <cmath>
#include <limits>
#include <numbers>

#include "src/ir/eval_call.h"
#include "src/ir/scalar.h"

namespace moai::ir {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Newton's method on erf, in erfc near the ends where erf has no digits left.
double inverse_erf(double y) {
  if (!(y > -1 && y < 1)) return y == 1 ? kInf : y == -1 ? -kInf : kNan;
  if (y == 0) return y;
  double a = std::fabs(y), w = -std::log((1 - a) * (1 + a));
  // Winitzki's approximation as the start.
  double t = 2 / (std::numbers::pi * 0.147) - w / 2;
  double x = std::sqrt(std::sqrt(t * t + w / 0.147) - t);
  for (int i = 0; i < 4; i++) {
    double error = a < 0.5 ? std::erf(x) - a : (1 - a) - std::erfc(x);
    double slope = 2 * std::numbers::inv_sqrtpi * std::exp(-x * x);
    if (slope == 0) break;
    x -= error / slope;
  }
  return std::copysign(x, y);
}

// -gamma + sum of 1/k - 1/(k + x - 1) over all k: a thousand terms, the rest by Euler and
// Maclaurin.
double slope_of_lgamma(double x) {
  if (x == 0) return std::copysign(kInf, -x);
  if (std::isinf(x)) return x > 0 ? x : kNan;
  if (x < 0 && x == std::floor(x)) return kNan;
  constexpr int kTerms = 1000;
  long double sum = 0, last = x;
  for (int k = 0; k < kTerms; k++, last += 1) sum += 1 / last;
  long double rest = std::log(last) - 1 / (2 * last) - 1 / (12 * last * last);
  return static_cast<double>(rest - sum);
}

double unary_real(Prim op, double a) {
  switch (op) {
    case Prim::neg: return -a;
    case Prim::abs: return std::fabs(a);
    case Prim::sign: return (a > 0) - (a < 0);
    case Prim::floor: return std::floor(a);
    case Prim::ceil: return std::ceil(a);
    case Prim::round_even: return std::nearbyint(a);
    case Prim::trunc: return std::trunc(a);
    case Prim::sqrt: return std::sqrt(a);
    case Prim::rsqrt: return 1 / std::sqrt(a);
    case Prim::exp: return std::exp(a);
    case Prim::expm1: return std::expm1(a);
    case Prim::log: return std::log(a);
    case Prim::log1p: return std::log1p(a);
    case Prim::sin: return std::sin(a);
    case Prim::cos: return std::cos(a);
    case Prim::tan: return std::tan(a);
    case Prim::asin: return std::asin(a);
    case Prim::acos: return std::acos(a);
    case Prim::atan: return std::atan(a);
    case Prim::sinh: return std::sinh(a);
    case Prim::cosh: return std::cosh(a);
    case Prim::tanh: return std::tanh(a);
    case Prim::erf: return std::erf(a);
    case Prim::erfc: return std::erfc(a);
    case Prim::erfinv: return inverse_erf(a);
    case Prim::lgamma: return std::lgamma(a);
    case Prim::digamma: return slope_of_lgamma(a);
    default: return kNan;
  }
}

double max_real(double a, double b) {
  return std::isnan(a) ? a : std::isnan(b) ? b : a > b ? a : b;
}
double min_real(double a, double b) {
  return std::isnan(a) ? a : std::isnan(b) ? b : a < b ? a : b;
}

double binary_real(Prim op, double a, double b) {
  switch (op) {
    case Prim::add: return a + b;
    case Prim::sub: return a - b;
    case Prim::mul: return a * b;
    case Prim::div: return a / b;
    case Prim::rem: return std::fmod(a, b);
    case Prim::pow: return std::pow(a, b);
    case Prim::atan2: return std::atan2(a, b);
    case Prim::max: return max_real(a, b);
    case Prim::min: return min_real(a, b);
    default: return kNan;
  }
}

// Arithmetic on unsigned numbers wraps; signed overflow would be undefined.
int64_t wrap(uint64_t v) { return static_cast<int64_t>(v); }
uint64_t bits(int64_t v) { return static_cast<uint64_t>(v); }

int64_t power_int(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  uint64_t result = 1;
  for (uint64_t base = bits(a); b; b >>= 1, base *= base)
    if (b & 1) result *= base;
  return wrap(result);
}

int64_t unary_int(Prim op, int64_t a) {
  switch (op) {
    case Prim::neg: return wrap(0 - bits(a));
    case Prim::abs: return a < 0 ? wrap(0 - bits(a)) : a;
    case Prim::sign: return (a > 0) - (a < 0);
    case Prim::bit_not: return ~a;
    default: return 0;
  }
}

int64_t binary_int(Prim op, int64_t a, int64_t b) {
  switch (op) {
    case Prim::add: return wrap(bits(a) + bits(b));
    case Prim::sub: return wrap(bits(a) - bits(b));
    case Prim::mul: return wrap(bits(a) * bits(b));
    case Prim::div: return b == 0 ? 0 : b == -1 ? wrap(0 - bits(a)) : a / b;
    case Prim::rem: return b == 0 || b == -1 ? 0 : a % b;
    case Prim::pow: return power_int(a, b);
    case Prim::max: return a > b ? a : b;
    case Prim::min: return a < b ? a : b;
    case Prim::bit_and: return a & b;
    case Prim::bit_or: return a | b;
    case Prim::bit_xor: return a ^ b;
    case Prim::shl: return b < 0 || b > 63 ? 0 : wrap(bits(a) << b);
    case Prim::shr_a: return a >> (b < 0 || b > 63 ? 63 : b);
    default: return 0;
  }
}

template <class T>
bool compare(Prim op, T a, T b) {
  switch (op) {
    case Prim::eq: return a == b;
    case Prim::ne: return a != b;
    case Prim::lt: return a < b;
    case Prim::le: return a <= b;
    case Prim::gt: return a > b;
    default: return a >= b;
  }
}

// logical_not, is_finite, is_nan and the comparisons.
bool truth(const Call& c, int64_t i) {
  const Tensor& a = *c.in[0];
  bool real = is_float(a.type.dtype);
  switch (c.node.op) {
    case Prim::logical_not: return get_real(a, i) == 0;
    case Prim::is_finite: return !real || std::isfinite(get_real(a, i));
    case Prim::is_nan: return real && std::isnan(get_real(a, i));
    default: break;
  }
  const Tensor& b = *c.in[1];
  return real ? compare(c.node.op, get_real(a, i), get_real(b, i))
              : compare(c.node.op, get_int(a, i), get_int(b, i));
}

double fused(double a, double b, double c, DType dtype) {
  if (dtype == DType::f64) return std::fma(a, b, c);
  return std::fma(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c));
}

double real_result(const Call& c, int64_t i) {
  double a = get_real(*c.in[0], i);
  if (c.in.size() == 1) return unary_real(c.node.op, a);
  double b = get_real(*c.in[1], i);
  if (c.in.size() == 2) return binary_real(c.node.op, a, b);
  double d = get_real(*c.in[2], i);
  if (c.node.op == Prim::fma) return fused(a, b, d, c.in[0]->type.dtype);
  return min_real(max_real(a, b), d);  // clamp
}

int64_t int_result(const Call& c, int64_t i) {
  int64_t a = get_int(*c.in[0], i);
  if (c.in.size() == 1) return unary_int(c.node.op, a);
  int64_t b = get_int(*c.in[1], i);
  if (c.in.size() == 2) return binary_int(c.node.op, a, b);
  return binary_int(Prim::min, binary_int(Prim::max, a, b), get_int(*c.in[2], i));
}

}  // namespace

Status eval_pointwise(const Call& c) {
  Tensor& out = *c.out[0];
  int64_t n = out.type.shape.numel();
  for (int64_t i = 0; i < n; i++) {
    if (c.node.op == Prim::select)
      copy_element(out, i, get_int(*c.in[0], i) ? *c.in[1] : *c.in[2], i);
    else if (info(c.node.op).domain == Domain::truth)
      set_int(out, i, truth(c, i));
    else if (is_float(out.type.dtype))
      set_real(out, i, real_result(c, i));
    else
      set_int(out, i, int_result(c, i));
  }
  return ok_status();
}

}  // namespace moai::ir
