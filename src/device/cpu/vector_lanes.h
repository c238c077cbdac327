// Masks of the first lanes of a vector.
#pragma once
#include <stdint.h>

#include "src/device/cpu/tile_math.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace {

MOAI_INLINE __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n <= 0 ? 0 : n < 16 ? (1u << n) - 1 : 0xffffu);
}

}  // namespace
#endif
