// 16 x 16 floats transposed in registers.
#pragma once
#include <stdint.h>

#include "src/device/cpu/tile_math.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace {

typedef float Row16 __attribute__((vector_size(64)));
typedef int32_t Index16 __attribute__((vector_size(64)));

// Exchanges blocks of kStep x kStep off the diagonal.
template <int kStep>
MOAI_INLINE void exchange(Row16 (&r)[16]) {
  Index16 low, high;
  for (int j = 0; j < 16; j++) {
    low[j] = j & kStep ? 16 + j - kStep : j;
    high[j] = j & kStep ? 16 + j : j + kStep;
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    if (i & kStep) continue;
    const Row16 a = r[i], b = r[i + kStep];
    r[i] = reinterpret_cast<Row16>(_mm512_permutex2var_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512i>(low), reinterpret_cast<__m512>(b)));
    r[i + kStep] = reinterpret_cast<Row16>(_mm512_permutex2var_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512i>(high), reinterpret_cast<__m512>(b)));
  }
}
MOAI_INLINE void transpose(Row16 (&r)[16]) {
  exchange<1>(r), exchange<2>(r), exchange<4>(r), exchange<8>(r);
}

}  // namespace
#endif
