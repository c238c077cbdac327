// Packing and products of panels, for one instruction set.
#include <type_traits>

#include "src/device/cpu/gemm_micro.h"
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_tier.h"
#include "src/device/cpu/vector_transpose.h"
#include "src/device/cpu/vector_widen.h"

namespace moai::cpu {
namespace MOAI_TIER {
namespace {

// Rows of a panel lie side by side: a transposition where elements of a row are neighbours (col 1),
// a copy where columns are (row 1).
template <class S, class T>
void pack_rows(const S* from, int64_t row, int64_t col, int n, int64_t k, int width, T* out) {
  constexpr int kBlock = 16;  // columns at a time: one line of each row
  for (int64_t p0 = 0; p0 < k; p0 += kBlock) {
    const int depth = static_cast<int>(k - p0 < kBlock ? k - p0 : kBlock);
    T* to = out + p0 * width;
    for (int i = 0; i < n; i++) {
      const S* x = from + i * row + p0 * col;
      for (int p = 0; p < depth; p++) to[p * width + i] = widen(x[p * col], T());
    }
    for (int p = 0; p < depth; p++)
      for (int i = n; i < width; i++) to[p * width + i] = T();
  }
}
#if defined(__AVX512F__)
MOAI_INLINE Row16 load_row(const float* x, __mmask16 mask) {
  return reinterpret_cast<Row16>(_mm512_maskz_loadu_ps(mask, x));
}
MOAI_INLINE Row16 load_row(const Brain* x, __mmask16 mask) {
  typedef uint16_t Half16 __attribute__((vector_size(32)));
  typedef uint32_t Word16 __attribute__((vector_size(64)));
  const __m256i bits = _mm256_maskz_loadu_epi16(mask, x);
  return reinterpret_cast<Row16>(__builtin_convertvector(reinterpret_cast<Half16>(bits), Word16)
                                 << 16);
}
// Rows of neighbours, 16 x 16 at a time in registers.
template <class S>
void pack_rows(const S* from, int64_t row, int n, int64_t k, int width, float* out) {
  for (int64_t p0 = 0; p0 < k; p0 += 16) {
    const int depth = static_cast<int>(k - p0 < 16 ? k - p0 : 16);
    const __mmask16 loaded = static_cast<__mmask16>((1u << depth) - 1);
    for (int first = 0; first < width; first += 16) {
      const int lines = n - first < 16 ? n - first : 16,
                room = width - first < 16 ? width - first : 16;
      Row16 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++)
        r[i] = i < lines ? load_row(from + (first + i) * row + p0, loaded) : Row16{};
      transpose(r);
      const __mmask16 stored = static_cast<__mmask16>((1u << room) - 1);
      float* to = out + p0 * width + first;
#pragma GCC unroll 16
      for (int p = 0; p < 16; p++)
        if (p < depth)
          _mm512_mask_storeu_ps(to + p * width, stored, reinterpret_cast<__m512>(r[p]));
    }
  }
}
#endif

// Panels of neighbouring elements are copied, all panels of a column before the next one: columns
// may be pages apart.
constexpr int64_t kAhead =
    8;  // columns: what a column's pieces are too far apart for the machine to guess
template <class T>
void copy_columns(const T* from, int64_t col, int64_t rows, int64_t k, int width, T* out) {
  for (int64_t p = 0; p < k; p++, from += col) {
    const T* x = from;
    T* to = out + p * width;
    int64_t left = rows;
    for (int64_t i = 0; i < rows; i += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(x + kAhead * col + i);
    for (; left >= width; left -= width, x += width, to += width * k) {
#if defined(__AVX512F__)
      if constexpr (sizeof(T) == 4) {
        for (int i = 0; i < width; i += 16) {
          const int n = width - i < 16 ? width - i : 16;
          const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
          _mm512_mask_storeu_ps(to + i, mask, _mm512_maskz_loadu_ps(mask, x + i));
        }
        continue;
      }
#endif
      memcpy(to, x, static_cast<size_t>(width) * sizeof(T));
    }
    if (left == 0) continue;
    for (int i = 0; i < width; i++) to[i] = i < left ? x[i] : T();
  }
}

template <class S, class T>
void pack(const S* from, int64_t row, int64_t col, int64_t rows, int64_t k, int width, T* out) {
  if constexpr (std::is_same_v<S, T>) {
    if (row == 1) return copy_columns(from, col, rows, k, width, out);
  }
  if (row == 1) {
    for (int64_t p = 0; p < k; p++, from += col) {
      T* to = out + p * width;
      for (int64_t first = 0; first < rows; first += width, to += width * k) {
        const int n = static_cast<int>(rows - first < width ? rows - first : width);
        for (int i = 0; i < n; i++) to[i] = widen(from[first + i], T());
        for (int i = n; i < width; i++) to[i] = T();
      }
    }
    return;
  }
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float> && !std::is_same_v<S, Half>) {
    if (col == 1) {
      for (int64_t first = 0; first < rows; first += width)
        pack_rows(from + first * row, row,
                  static_cast<int>(rows - first < width ? rows - first : width), k, width,
                  out + first * k);
      return;
    }
  }
#endif
  for (int64_t first = 0; first < rows; first += width)
    pack_rows(from + first * row, row, col,
              static_cast<int>(rows - first < width ? rows - first : width), k, width,
              out + first * k);
}

void pack_f32(DType dtype, const void* from, int64_t row, int64_t col, int64_t rows, int64_t k,
              int width, float* out) {
  if (dtype == DType::f16)
    return pack(static_cast<const Half*>(from), row, col, rows, k, width, out);
  if (dtype == DType::bf16)
    return pack(static_cast<const Brain*>(from), row, col, rows, k, width, out);
  pack(static_cast<const float*>(from), row, col, rows, k, width, out);
}

void pack_i64(DType dtype, const void* from, int64_t row, int64_t col, int64_t rows, int64_t k,
              int width, int64_t* out) {
  switch (dtype) {
    case DType::i64: return pack(static_cast<const int64_t*>(from), row, col, rows, k, width, out);
    case DType::i32: return pack(static_cast<const int32_t*>(from), row, col, rows, k, width, out);
    case DType::i16: return pack(static_cast<const int16_t*>(from), row, col, rows, k, width, out);
    case DType::i8: return pack(static_cast<const int8_t*>(from), row, col, rows, k, width, out);
    default: return pack(static_cast<const uint8_t*>(from), row, col, rows, k, width, out);
  }
}

constexpr int kRowsI = 4, kColsI = 8;
void micro_i64(int64_t k, const int64_t* a, const int64_t* b, int64_t* c, int64_t ldc, int m, int n,
               bool add) {
  int64_t acc[kRowsI][kColsI] = {};
  for (int64_t p = 0; p < k; p++, a += kRowsI, b += kColsI)
    for (int i = 0; i < kRowsI; i++)
      for (int j = 0; j < kColsI; j++) acc[i][j] += a[i] * b[j];
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) c[i * ldc + j] = (add ? c[i * ldc + j] : 0) + acc[i][j];
}

}  // namespace

void set_gemm_ops(VectorOps& ops) {
  ops.gemm_f32 = {
      kRowsF, kColVectors * static_cast<int>(sizeof(FloatV) / 4), micro<float, FloatV, kRowsF>, {}};
  ops.gemm_f64 = {kRowsD,
                  kColVectors * static_cast<int>(sizeof(DoubleV) / 8),
                  micro<double, DoubleV, kRowsD>,
                  {}};
  ops.gemm_i64 = {kRowsI, kColsI, micro_i64, {}};
  ops.pack_f32 = pack_f32;
  ops.pack_f64 = [](const double* from, int64_t row, int64_t col, int64_t rows, int64_t k,
                    int width, double* out) { pack(from, row, col, rows, k, width, out); };
  ops.pack_i64 = pack_i64;
}

}  // namespace MOAI_TIER

#define MOAI_TIER_FUNCTION_(tier) vector_ops_##tier
#define MOAI_TIER_FUNCTION(tier) MOAI_TIER_FUNCTION_(tier)
const VectorOps& MOAI_TIER_FUNCTION(MOAI_TIER)() {
  static const VectorOps kOps = [] {
    VectorOps ops = {};
    MOAI_TIER::set_gemm_ops(ops);
    MOAI_TIER::set_conv_ops(ops);
    MOAI_TIER::set_attention_ops(ops);
    MOAI_TIER::set_skinny_ops(ops);
    MOAI_TIER::set_thin_ops(ops);
    MOAI_TIER::set_row_ops(ops);
    MOAI_TIER::set_pool_ops(ops);
    return ops;
  }();
  return kOps;
}

}  // namespace moai::cpu
