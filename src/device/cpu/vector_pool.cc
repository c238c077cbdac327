// Maxima of windows with their places, for one instruction set.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_lanes.h"
#include "src/device/cpu/vector_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

// Masks instead of branches: which one wins is as good as random. `must` is all ones or zero.
MOAI_INLINE void take(float v, int32_t at, int32_t must, int32_t& most, int32_t& where) {
  const float m = as_float(most);
  const int32_t mask = -static_cast<int32_t>(!(v <= m) & (m == m)) | must;
  most ^= (most ^ as_int(v)) & mask;
  where ^= (where ^ at) & mask;
}

#if defined(__AVX512F__)
typedef int32_t Place16 __attribute__((vector_size(64)));
typedef int64_t Index8 __attribute__((vector_size(64)));

struct Best {
  __m512 value;
  __m512i place;
  MOAI_INLINE void take(Best& best, __m512 value, __m512i place) {
    const __mmask16 wins = _mm512_cmp_ps_mask(value, best.value, _CMP_NLE_UQ) &
                           _mm512_cmp_ps_mask(best.value, best.value, _CMP_ORD_Q);
    best.value = _mm512_mask_mov_ps(best.value, wins, value);
    best.place = _mm512_mask_mov_epi32(best.place, wins, place);
  }
};

// 16 windows in the lanes, of which the first n count.
MOAI_INLINE void pool_windows(const float* a, const float* b, int64_t width, int64_t n,
                              int64_t first, float* y, int64_t* index) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                even = _mm512_add_epi32(lane, lane), one = _mm512_set1_epi32(1),
                odd = _mm512_add_epi32(even, one);
  const __m512i below = _mm512_set1_epi32(static_cast<int32_t>(width));
  const __mmask16 low = first_lanes(2 * n), high = first_lanes(2 * n - 16);
  const __m512 a0 = _mm512_maskz_loadu_ps(low, a), a1 = _mm512_maskz_loadu_ps(high, a + 16),
               b0 = _mm512_maskz_loadu_ps(low, b), b1 = _mm512_maskz_loadu_ps(high, b + 16);
  Best best = {_mm512_permutex2var_ps(a0, even, a1), even};
  Best::take(best, _mm512_permutex2var_ps(a0, odd, a1), odd);
  Best::take(best, _mm512_permutex2var_ps(b0, even, b1), _mm512_add_epi32(even, below));
  Best::take(best, _mm512_permutex2var_ps(b0, odd, b1), _mm512_add_epi32(odd, below));
  const __mmask16 stored = first_lanes(n);
  _mm512_mask_storeu_ps(y, stored, best.value);
  const auto places = reinterpret_cast<Place16>(best.place);
  const Index8 front =
                   __builtin_convertvector(
                       __builtin_shufflevector(places, places, 0, 1, 2, 3, 4, 5, 6, 7), Index8) +
                   first,
               back = __builtin_convertvector(
                          __builtin_shufflevector(places, places, 8, 9, 10, 11, 12, 13, 14, 15),
                          Index8) +
                      first;
  _mm512_mask_storeu_epi64(index, static_cast<__mmask8>(stored), reinterpret_cast<__m512i>(front));
  _mm512_mask_storeu_epi64(index + 8, static_cast<__mmask8>(stored >> 8),
                           reinterpret_cast<__m512i>(back));
}
#else
MOAI_INLINE void pool_windows(const float* a, const float* b, int64_t width, int64_t n,
                              int64_t first, float* y, int64_t* index) {
  int32_t places[16];
  const int32_t below = static_cast<int32_t>(width);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) {
    int32_t most = as_int(a[2 * i]), where = 0;
    take(a[2 * i + 1], 1, 0, most, where);
    take(b[2 * i], below, 0, most, where);
    take(b[2 * i + 1], below + 1, 0, most, where);
    y[i] = as_float(most), places[i] = where;
  }
  for (int64_t i = 0; i < n; i++) index[i] = first + 2 * i + places[i];
}
#endif

void pool_two_by_two(const float* x, int64_t width, int64_t rows, int64_t cols, float* y,
                     int64_t* index) {
  for (int64_t r = 0; r < rows; r++, y += cols, index += cols) {
    const int64_t first = 2 * r * width;
    for (int64_t c = 0; c < cols; c += 16)
      pool_windows(x + first + 2 * c, x + first + width + 2 * c, width,
                   cols - c < 16 ? cols - c : 16, first + 2 * c, y + c, index + c);
  }
}

template <int64_t kStep>
void pool_row(const float* x, int64_t any_step, int32_t at, int64_t n, float* best,
              int32_t* place) {
  const int64_t step = kStep > 0 ? kStep : any_step;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) {
    int32_t most = as_int(best[i]), where = place[i];
    take(x[i * step], at + static_cast<int32_t>(i * step), where >> 31, most, where);
    best[i] = as_float(most), place[i] = where;
  }
}

}  // namespace

void set_pool_ops(VectorOps& ops) {
  ops.pool_two_by_two = pool_two_by_two;
  ops.pool_row = [](const float* x, int64_t step, int32_t at, int64_t n, float* best,
                    int32_t* place) {
    if (step == 1) return pool_row<1>(x, step, at, n, best, place);
    if (step == 2) return pool_row<2>(x, step, at, n, best, place);
    pool_row<0>(x, step, at, n, best, place);
  };
}

}  // namespace moai::cpu::MOAI_TIER
