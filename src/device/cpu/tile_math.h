// The functions that the expressions of ops.def call, for every tile type. Branch-free f32 code
// that the compiler turns into vectors inside a tile loop; f64 and rare functions call libm.
//
// Compiled once per instruction set, so everything here is static and includes no templates of the
// library. Coefficients are our own fits (fit_math.py).
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOAI_INLINE __attribute__((always_inline)) static inline

namespace {

// a * b + c, in one rounding where the tier has the instruction: emulating it would cost 20 ns an
// element.
MOAI_INLINE float mad(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
MOAI_INLINE float as_float(int32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}
MOAI_INLINE int32_t as_int(float f) {
  int32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}
MOAI_INLINE float flip_sign_of(float magnitude, float sign) {
  return __builtin_copysignf(magnitude, sign);
}

// Nearest integer, ties to even. The two-step sum needs no SSE4.1 and |x| < 2^22.
MOAI_INLINE float small_rint(float x) {
#ifdef __SSE4_1__
  return __builtin_rintf(x);
#else
  volatile float big = 12582912.0f;
  float t = x + big;
  return t - big;
#endif
}

constexpr float kLog2E = 1.44269504f;
// ln 2 in two parts; the first has 9 zero bits at its end, so its product with an exponent is
// exact.
constexpr float kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;

// exp(r) - 1 for |r| <= ln(2)/2.
MOAI_INLINE float exp_tail(float r) {
  float q = mad(1.99139962e-4f, r, 1.39407266e-3f);
  q = mad(q, r, 8.33327323e-3f);
  q = mad(q, r, 4.16663587e-2f);
  q = mad(q, r, 1.66666672e-1f);
  q = mad(q, r, 0.5f);
  return mad(q, r * r, r);
}

// Results below the smallest normal number are 0: subnormal weights make later products 20 times
// slower.
MOAI_INLINE float exp_(float y) {
  float x = y < -87.3365f ? -87.3365f : y;
  x = x > 89.0f ? 89.0f : x;
  float n = small_rint(x * kLog2E);
  float r = mad(n, -kLn2Hi, x);
  r = mad(n, -kLn2Lo, r);
  float p = exp_tail(r) + 1.0f;
  // 2^n in two factors: n may be 128.
  int32_t half = static_cast<int32_t>(n) >> 1;
  int32_t rest = static_cast<int32_t>(n) - half;
  p = p * as_float((half + 127) << 23) * as_float((rest + 127) << 23);
  return y < -87.3365f ? 0.0f : p;
}

MOAI_INLINE float expm1_(float y) {
  float x = y < -30.0f ? -30.0f : y;
  x = x > 89.0f ? 89.0f : x;
  float n = small_rint(x * kLog2E);
  float r = mad(n, -kLn2Hi, x);
  r = mad(n, -kLn2Lo, r);
  // s is 2^(n-1): 2^128 is no float. 2 * (s * tail + (s - 1/2)) loses nothing near 0.
  float s = as_float((static_cast<int32_t>(n) + 126) << 23);
  float result = 2.0f * mad(s, exp_tail(r), s - 0.5f);
  return n == 0.0f ? exp_tail(x) : result;
}

MOAI_INLINE float log_(float y) {
  bool is_small = y < 1.17549435e-38f;
  float x = is_small ? y * 16777216.0f : y;
  int32_t bits = as_int(x);
  int32_t e = (bits - 0x3F3504F3) >> 23;  // exponent that leaves a mantissa in [sqrt(1/2), sqrt(2))
  float f = as_float(bits - (e << 23)) - 1.0f;
  float n = static_cast<float>(e) - (is_small ? 24.0f : 0.0f);
  float q = mad(6.74645454e-2f, f, -1.16756231e-1f);
  q = mad(q, f, 1.18882321e-1f);
  q = mad(q, f, -1.24055974e-1f);
  q = mad(q, f, 1.42195433e-1f);
  q = mad(q, f, -1.66679949e-1f);
  q = mad(q, f, 2.00021192e-1f);
  q = mad(q, f, -2.50000089e-1f);
  q = mad(q, f, 3.33333135e-1f);
  float s = f * f;
  float t = mad(q * s, f, n * kLn2Lo);
  t = mad(-0.5f, s, t);
  float result = mad(n, kLn2Hi, f + t);
  result = y == __builtin_inff() ? y : result;
  result = y == 0.0f ? -__builtin_inff() : result;
  return y < 0.0f || y != y ? __builtin_nanf("") : result;
}

// log(u) * x / (u - 1) with u = 1 + x rounded: the error of u cancels.
MOAI_INLINE float log1p_(float x) {
  float u = 1.0f + x;
  float d = u - 1.0f;
  float safe = d == 0.0f ? 1.0f : d;
  float result = log_(u) * (x / safe);
  result = d == 0.0f ? x : result;
  return x == __builtin_inff() ? x : result;
}

MOAI_INLINE float tanh_(float x) {
  float t = __builtin_fabsf(x);
  t = t > 10.0f ? 10.0f : t;
  float e = expm1_(2.0f * t);
  return flip_sign_of(e / (e + 2.0f), x);
}

MOAI_INLINE float erf_(float x) {
  float s = x * x, t = __builtin_fabsf(x);
  t = t > 4.0f ? 4.0f : t;
  s = s > 1.0f ? 1.0f : s;
  float p = mad(7.85386073e-5f, s, -8.01019371e-4f);
  p = mad(p, s, 5.18832775e-3f);
  p = mad(p, s, -2.6853811e-2f);
  p = mad(p, s, 1.12835854e-1f);
  p = mad(p, s, -3.7612626e-1f);
  p = mad(p, s, 1.12837911f);
  float q = mad(2.16975277e-5f, t, -4.4147158e-4f);
  q = mad(q, t, 4.20527905e-3f);
  q = mad(q, t, -2.52103247e-2f);
  q = mad(q, t, 1.08422078e-1f);
  q = mad(q, t, 6.33216441e-1f);
  q = mad(q, t, 1.12958026f);
  q = mad(q, t, -1.88465143e-4f);
  float tail = flip_sign_of(1.0f - exp_(-q), x);
  return t < 1.0f ? p * x : tail;
}

MOAI_INLINE float sin_(float x) { return sinf(x); }
MOAI_INLINE float cos_(float x) { return cosf(x); }
MOAI_INLINE float tan_(float x) { return tanf(x); }
MOAI_INLINE float asin_(float x) { return asinf(x); }
MOAI_INLINE float acos_(float x) { return acosf(x); }
MOAI_INLINE float atan_(float x) { return atanf(x); }
MOAI_INLINE float sinh_(float x) { return sinhf(x); }
MOAI_INLINE float cosh_(float x) { return coshf(x); }
MOAI_INLINE float erfc_(float x) { return erfcf(x); }
MOAI_INLINE float sqrt_(float x) { return __builtin_sqrtf(x); }
MOAI_INLINE float floor_(float x) { return __builtin_floorf(x); }
MOAI_INLINE float ceil_(float x) { return __builtin_ceilf(x); }
MOAI_INLINE float rint_(float x) { return __builtin_rintf(x); }
MOAI_INLINE float trunc_(float x) { return __builtin_truncf(x); }
MOAI_INLINE float power(float a, float b) { return powf(a, b); }
MOAI_INLINE float atan2_(float a, float b) { return atan2f(a, b); }
MOAI_INLINE float remainder_(float a, float b) { return fmodf(a, b); }
MOAI_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MOAI_INLINE float absolute(float x) { return __builtin_fabsf(x); }
MOAI_INLINE bool finite(float x) { return __builtin_fabsf(x) < __builtin_inff(); }

MOAI_INLINE double exp_(double x) { return exp(x); }
MOAI_INLINE double expm1_(double x) { return expm1(x); }
MOAI_INLINE double log_(double x) { return log(x); }
MOAI_INLINE double log1p_(double x) { return log1p(x); }
MOAI_INLINE double sin_(double x) { return sin(x); }
MOAI_INLINE double cos_(double x) { return cos(x); }
MOAI_INLINE double tan_(double x) { return tan(x); }
MOAI_INLINE double asin_(double x) { return asin(x); }
MOAI_INLINE double acos_(double x) { return acos(x); }
MOAI_INLINE double atan_(double x) { return atan(x); }
MOAI_INLINE double sinh_(double x) { return sinh(x); }
MOAI_INLINE double cosh_(double x) { return cosh(x); }
MOAI_INLINE double tanh_(double x) { return tanh(x); }
MOAI_INLINE double erf_(double x) { return erf(x); }
MOAI_INLINE double erfc_(double x) { return erfc(x); }
MOAI_INLINE double sqrt_(double x) { return __builtin_sqrt(x); }
MOAI_INLINE double floor_(double x) { return __builtin_floor(x); }
MOAI_INLINE double ceil_(double x) { return __builtin_ceil(x); }
MOAI_INLINE double rint_(double x) { return __builtin_rint(x); }
MOAI_INLINE double trunc_(double x) { return __builtin_trunc(x); }
MOAI_INLINE double power(double a, double b) { return pow(a, b); }
MOAI_INLINE double atan2_(double a, double b) { return atan2(a, b); }
MOAI_INLINE double remainder_(double a, double b) { return fmod(a, b); }
MOAI_INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
MOAI_INLINE double absolute(double x) { return __builtin_fabs(x); }
MOAI_INLINE bool finite(double x) { return __builtin_fabs(x) < __builtin_inf(); }

// lgamma writes a global sign; the _r forms do not.
MOAI_INLINE double lgamma_(double x) {
  int sign;
  return lgamma_r(x, &sign);
}
MOAI_INLINE float lgamma_(float x) {
  int sign;
  return lgammaf_r(x, &sign);
}

// The slope of lgamma: upwards by the recurrence to where the asymptotic series is exact, by
// reflection below 0.
static inline double digamma_(double x) {
  if (x == 0.0) return copysign(__builtin_inf(), -x);
  double result = 0.0;
  if (x < 0.0) {
    double part = x - rint(x);  // exact; the poles are where it is 0
    if (part == 0.0 || x == -__builtin_inf()) return __builtin_nan("");
    result = -M_PI / tan(M_PI * part);
    x = 1.0 - x;
  }
  for (; x < 12.0; x += 1.0) result -= 1.0 / x;
  double s = 1.0 / (x * x);
  double tail =
      s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132)))));
  return x == __builtin_inf() ? x : result + log(x) - 0.5 / x - tail;
}
MOAI_INLINE float digamma_(float x) { return static_cast<float>(digamma_(static_cast<double>(x))); }

// Winitzki's closed form as a start, then three steps of Newton on erf (on erfc near 1, where erf
// is flat).
static inline double erfinv_(double y) {
  if (!(y > -1.0 && y < 1.0)) {
    if (y == 1.0 || y == -1.0) return y * __builtin_inf();
    return __builtin_nan("");
  }
  double t = fabs(y);
  double l = log1p(-t * t), k = 4.3307467508 + l / 2;
  double x = sqrt(sqrt(k * k - l / 0.147) - k);
  for (int i = 0; i < 3; i++) {
    double error = t < 0.5 ? erf(x) - t : (1.0 - t) - erfc(x);
    x -= error * 0.88622692545275801 * exp(x * x);
  }
  return t == 0.0 ? y : copysign(x, y);
}
MOAI_INLINE float erfinv_(float y) { return static_cast<float>(erfinv_(static_cast<double>(y))); }

MOAI_INLINE int32_t absolute(int32_t x) { return x < 0 ? -x : x; }
MOAI_INLINE int64_t absolute(int64_t x) { return x < 0 ? -x : x; }
template <class T>
MOAI_INLINE bool finite(T) {
  return true;
}

// NaN gives NaN, zeros keep their sign.
template <class T>
MOAI_INLINE T signum(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
}
template <class T>
MOAI_INLINE T maximum(T a, T b) {
  return a != a ? a : (a < b || b != b ? b : a);
}
template <class T>
MOAI_INLINE T minimum(T a, T b) {
  return a != a ? a : (b < a || b != b ? b : a);
}
template <class T>
MOAI_INLINE T clamp_(T x, T lo, T hi) {
  T t = x < lo ? lo : x;
  return hi < t ? hi : t;
}

MOAI_INLINE float divide(float a, float b) { return a / b; }
MOAI_INLINE double divide(double a, double b) { return a / b; }
// Toward zero; by 0 gives 0; the smallest integer by -1 wraps.
template <class T>
MOAI_INLINE T divide(T a, T b) {
  return b == 0 ? T(0) : b == -1 ? T(0) - a : a / b;
}
template <class T>
MOAI_INLINE T remainder_(T a, T b) {
  return b == 0 || b == -1 ? T(0) : a % b;
}
// Squares and multiplies; wraps. A negative exponent gives 1 / a toward zero: 0 unless a is 1 or
// -1.
template <class T>
MOAI_INLINE T power(T a, T b) {
  if (b < 0) return a == 1 ? T(1) : a == -1 ? (b % 2 != 0 ? T(-1) : T(1)) : T(0);
  T result = 1;
  for (; b > 0; b >>= 1) {
    if (b & 1) result *= a;
    a *= a;
  }
  return result;
}
template <class T>
MOAI_INLINE T shift_left(T a, T b) {
  const T width = sizeof(T) * 8;
  return b < 0 || b >= width ? T(0) : static_cast<T>(a << b);
}
template <class T>
MOAI_INLINE T shift_right(T a, T b) {
  const T width = sizeof(T) * 8;
  return a >> (b < 0 || b >= width ? width - 1 : b);
}

// Half and bfloat16 as bits, rounded to nearest even.
MOAI_INLINE float from_bf16(uint16_t h) {
  return as_float(static_cast<int32_t>(static_cast<uint32_t>(h) << 16));
}
MOAI_INLINE uint16_t to_bf16(float f) {
  uint32_t u = static_cast<uint32_t>(as_int(f));
  uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1)) >> 16;
  uint32_t nan = (u >> 16) | 0x40u;
  return static_cast<uint16_t>(f != f ? nan : rounded);
}
MOAI_INLINE float from_f16(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, body = h & 0x7FFFu;
  // Subnormals come out right as (body - 0) * 2^-24; others by moving the exponent.
  float small = static_cast<float>(static_cast<int32_t>(body)) * 5.9604644775390625e-8f;
  uint32_t wide = (body << 13) + (112u << 23) + (body >= 0x7C00u ? 112u << 23 : 0);
  uint32_t bits = body < 0x400u ? static_cast<uint32_t>(as_int(small)) : wide;
  return as_float(static_cast<int32_t>(bits | sign));
}
MOAI_INLINE uint16_t to_f16(float f) {
  uint32_t u = static_cast<uint32_t>(as_int(f)), sign = (u >> 16) & 0x8000u, t = u & 0x7FFFFFFFu;
  uint32_t normal = (t - (112u << 23) + 0xFFFu + ((t >> 13) & 1)) >> 13;
  // Adding 0.5 leaves a value's multiples of 2^-24 in the last bits, rounded to even by the
  // addition.
  uint32_t small =
      static_cast<uint32_t>(as_int(as_float(static_cast<int32_t>(t)) + 0.5f)) - 0x3F000000u;
  uint32_t h = t < (113u << 23) ? small : normal;
  h = t >= 0x477FF000u ? 0x7C00u : h;
  h = t > 0x7F800000u ? 0x7E00u : h;
  return static_cast<uint16_t>(h | sign);
}

}  // namespace
