// Elements of every dtype in the type that kernels compute with, and the choice of a body by dtype.
#pragma once
#include <cstdint>

#include "moai/dtype.h"
#include "moai/shape.h"
#include "src/device/cpu/tile_math.h"

namespace moai::cpu {

template <class S, class V>
struct Element {
  using Stored = S;
  using Value = V;
  static V load(S x) { return static_cast<V>(x); }
  static S store(V x) { return static_cast<S>(x); }
};
struct F16Element {
  using Stored = uint16_t;
  using Value = float;
  static float load(uint16_t x) { return from_f16(x); }
  static uint16_t store(float x) { return to_f16(x); }
};
struct Bf16Element {
  using Stored = uint16_t;
  using Value = float;
  static float load(uint16_t x) { return from_bf16(x); }
  static uint16_t store(float x) { return to_bf16(x); }
};
struct BoolElement {
  using Stored = uint8_t;
  using Value = int64_t;
  static int64_t load(uint8_t x) { return x != 0; }
  static uint8_t store(int64_t x) { return x != 0; }
};

// Calls f with the element type; integers compute in i64 and wrap when stored. Complex numbers have
// none.
template <class F>
bool with_element(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f(Element<double, double>()), true;
    case DType::f32: return f(Element<float, float>()), true;
    case DType::f16: return f(F16Element()), true;
    case DType::bf16: return f(Bf16Element()), true;
    case DType::i64: return f(Element<int64_t, int64_t>()), true;
    case DType::i32: return f(Element<int32_t, int64_t>()), true;
    case DType::i16: return f(Element<int16_t, int64_t>()), true;
    case DType::i8: return f(Element<int8_t, int64_t>()), true;
    case DType::u8: return f(Element<uint8_t, int64_t>()), true;
    case DType::boolean: return f(BoolElement()), true;
    case DType::c64:
    case DType::c128:
    case DType::c32: break;
  }
  return false;
}

// A tensor as outer x size x inner around an axis.
struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
  AxisView() = default;
  AxisView(const Shape& s, int64_t axis) {
    for (int d = 0; d < s.rank(); d++) (d < axis ? outer : d > axis ? inner : size) *= s[d];
  }
};

// Whether `a` comes before `b` where NaN is largest.
template <class V>
bool precedes(V a, V b) {
  return a < b || (a == a && b != b);
}

}  // namespace moai::cpu
