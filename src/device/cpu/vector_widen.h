// Stored elements as the type that they are computed in; the last argument names it.
#pragma once
#include "src/device/cpu/tile_math.h"

namespace {

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
template <class T, class S>
MOAI_INLINE T widen(S x, T) {
  return static_cast<T>(x);
}
MOAI_INLINE float widen(Half x, float) { return from_f16(x.bits); }
MOAI_INLINE float widen(Brain x, float) { return from_bf16(x.bits); }

}  // namespace
