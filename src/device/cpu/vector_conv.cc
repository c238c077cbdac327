// Inner loops of convolutions, for one instruction set.
#include "src/device/cpu/gemm_micro.h"
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_image.h"
#include "src/device/cpu/vector_lanes.h"
#include "src/device/cpu/vector_tier.h"
#include "src/device/cpu/vector_transpose.h"
#include "src/device/cpu/vector_widen.h"

namespace moai::cpu::MOAI_TIER {
namespace {

using ::multiply_add;
using ::spread;
typedef int64_t LongV __attribute__((vector_size(sizeof(FloatV))));
MOAI_INLINE LongV spread(int64_t x, LongV) { return LongV{} + x; }
MOAI_INLINE LongV multiply_add(LongV a, LongV b, LongV c) { return a * b + c; }

// Sums in registers: a vector of each, so that loads of weights and the last product have room.
#if defined(__AVX512F__)
constexpr int kSums = 28;
#elif defined(__AVX2__)
constexpr int kSums = 12;
#else
constexpr int kSums = 8;
#endif
constexpr int kGroupsMax = 14;  // more offsets than that come from memory at every step
constexpr int groups_of(int vectors, int width) {
  const int n = kSums / vectors / width;
  return n < kGroupsMax ? n : kGroupsMax;
}

template <class T, class V, int kVectors, int kWidth>
void run_tile(const ConvTile<T>& tile, const ConvGroup* groups) {
  constexpr int kGroups = groups_of(kVectors, kWidth), kLanes = sizeof(V) / sizeof(T);
  V sums[kGroups][kWidth][kVectors];
  int64_t at[kGroups];
#pragma GCC unroll 32
  for (int g = 0; g < kGroups; g++) {
    at[g] = groups[g].x;
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; i++)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v++) sums[g][i][v] = V{};
  }
  const ConvStep* const end = tile.steps + tile.step_count;
  const int64_t x_step = tile.x_step;
  for (const ConvStep* s = tile.steps; s != end; s++) {
    const T* x[kWidth];
    x[0] = tile.x + s->x;
#pragma GCC unroll 4
    for (int i = 1; i < kWidth; i++) x[i] = x[i - 1] + x_step;
    V w[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; v++) memcpy(&w[v], tile.w + s->w + v * kLanes, sizeof(V));
#pragma GCC unroll 32
    for (int g = 0; g < kGroups; g++)
#pragma GCC unroll 4
      for (int i = 0; i < kWidth; i++) {
        const V a = spread(x[i][at[g]], V{});
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; v++) sums[g][i][v] = multiply_add(a, w[v], sums[g][i][v]);
      }
  }
#pragma GCC unroll 32
  for (int g = 0; g < kGroups; g++)
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; i++)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v++) {
        T* c = tile.c + groups[g].c + i * tile.c_step + v * kLanes;
        V sum = sums[g][i][v];
        if (tile.add) {
          V old;
          memcpy(&old, c, sizeof old);
          sum = old + sum;
        }
        memcpy(c, &sum, sizeof sum);
      }
}

template <class T, class V, int kVectors, int kWidth>
constexpr ConvBody<T> body() {
  return {groups_of(kVectors, kWidth), run_tile<T, V, kVectors, kWidth>};
}

// Outputs by neighbours in registers: nothing is copied, the image is read where it lies.
template <class T, class V>
void mix_channels(int64_t channels, const T* w, const T* x, int64_t x_row, T* y, int64_t y_row,
                  int row_count, int col_count) {
  constexpr int kRows = kSums / 2, kLanes = sizeof(V) / sizeof(T);
  V sums[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) sums[i][0] = sums[i][1] = V{};
  for (int64_t c = 0; c < channels; c++, x += x_row, w += kRows) {
    V left, right;
    memcpy(&left, x, sizeof left), memcpy(&right, x + kLanes, sizeof right);
    // Rows are pages apart, so no prefetcher sees that the next columns come next.
    __builtin_prefetch(x + 2 * kLanes), __builtin_prefetch(x + 3 * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      const V a = spread(w[i], V{});
      sums[i][0] = multiply_add(a, left, sums[i][0]);
      sums[i][1] = multiply_add(a, right, sums[i][1]);
    }
  }
  if (row_count == kRows && col_count == 2 * kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) memcpy(y + i * y_row, sums[i], sizeof sums[i]);
    return;
  }
  T edge[kRows][2 * kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) memcpy(edge[i], sums[i], sizeof sums[i]);
  for (int i = 0; i < row_count; i++)
    for (int j = 0; j < col_count; j++) y[i * y_row + j] = edge[i][j];
}

template <class T, class V, int kVectors>
MOAI_INLINE void add_line_part(const T* x, const ConvStep* steps, int64_t count, const T* w, T* y) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  V sums[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) sums[v] = V{};
  for (const ConvStep* s = steps; s != steps + count; s++) {
    const V a = spread(w[s->w], V{});
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      V b;
      memcpy(&b, x + s->x + v * kLanes, sizeof b);
      sums[v] = multiply_add(a, b, sums[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) memcpy(y + v * kLanes, &sums[v], sizeof(V));
}
template <class T, class V>
void add_lines(const T* x, const ConvStep* steps, int64_t count, const T* w, int64_t n, T* y) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  int64_t i = 0;
  for (; n - i > 7 * kLanes; i += 8 * kLanes) add_line_part<T, V, 8>(x + i, steps, count, w, y + i);
  for (; n - i > 3 * kLanes; i += 4 * kLanes) add_line_part<T, V, 4>(x + i, steps, count, w, y + i);
  for (; i < n; i += kLanes) add_line_part<T, V, 1>(x + i, steps, count, w, y + i);
}

// Lanes in halves, whatever their number is.
template <class T, class V>
MOAI_INLINE T sum_of_lanes(V v) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  T lanes[kLanes];
  memcpy(lanes, &v, sizeof v);
  for (int n = kLanes / 2; n > 0; n /= 2)
    for (int i = 0; i < n; i++) lanes[i] += lanes[i + n];
  return lanes[0];
}
template <class T, class V, int kSteps>
MOAI_INLINE void multiply_line_part(const T* x, const ConvStep* steps, const T* dy, int64_t n,
                                    T* sums) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  V sum[kSteps];
  const T* from[kSteps];
#pragma GCC unroll 9
  for (int k = 0; k < kSteps; k++) sum[k] = V{}, from[k] = x + steps[k].x;
  for (int64_t i = 0; i < n; i += kLanes) {
    V a;
    memcpy(&a, dy + i, sizeof a);
#pragma GCC unroll 9
    for (int k = 0; k < kSteps; k++) {
      V b;
      memcpy(&b, from[k] + i, sizeof b);
      sum[k] = multiply_add(a, b, sum[k]);
    }
  }
  for (int k = 0; k < kSteps; k++) sums[steps[k].w] += sum_of_lanes<T, V>(sum[k]);
}
template <class T, class V>
void multiply_lines(const T* x, const ConvStep* steps, int64_t count, const T* dy, int64_t n,
                    T* sums) {
  for (; count >= 9; count -= 9, steps += 9) multiply_line_part<T, V, 9>(x, steps, dy, n, sums);
  for (; count >= 4; count -= 4, steps += 4) multiply_line_part<T, V, 4>(x, steps, dy, n, sums);
  for (; count > 0; count--, steps++) multiply_line_part<T, V, 1>(x, steps, dy, n, sums);
}

void copy_image_f32(const ConvImage& image, const void* x, float* out) {
  if (image.dtype == DType::f16) return copy_image(image, static_cast<const Half*>(x), out);
  if (image.dtype == DType::bf16) return copy_image(image, static_cast<const Brain*>(x), out);
  copy_image(image, static_cast<const float*>(x), out);
}
void copy_image_f64(const ConvImage& image, const void* x, double* out) {
  copy_image(image, static_cast<const double*>(x), out);
}
void copy_image_i64(const ConvImage& image, const void* x, int64_t* out) {
  switch (image.dtype) {
    case DType::i64: return copy_image(image, static_cast<const int64_t*>(x), out);
    case DType::i32: return copy_image(image, static_cast<const int32_t*>(x), out);
    case DType::i16: return copy_image(image, static_cast<const int16_t*>(x), out);
    case DType::i8: return copy_image(image, static_cast<const int8_t*>(x), out);
    default: return copy_image(image, static_cast<const uint8_t*>(x), out);
  }
}

struct BoolStore {
  uint8_t value;
};
template <class T, class S>
MOAI_INLINE void narrow(T x, S* to) {
  *to = static_cast<S>(x);
}
MOAI_INLINE void narrow(float x, Half* to) { to->bits = to_f16(x); }
MOAI_INLINE void narrow(float x, Brain* to) { to->bits = to_bf16(x); }
MOAI_INLINE void narrow(int64_t x, BoolStore* to) { to->value = x != 0; }

template <class T, class S>
void store_transposed(const T* c, int64_t c_row, int64_t rows, int64_t cols, S* y, int64_t y_row) {
  constexpr int64_t kBlock = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const int64_t n = rows - i0 < kBlock ? rows - i0 : kBlock;
    for (int64_t j = 0; j < cols; j++)
      for (int64_t i = i0; i < i0 + n; i++) narrow(c[i * c_row + j], y + j * y_row + i);
  }
}
#if defined(__AVX512F__)
void store_transposed(const float* c, int64_t c_row, int64_t rows, int64_t cols, float* y,
                      int64_t y_row) {
  for (int64_t j0 = 0; j0 < cols; j0 += 16)
    for (int64_t i0 = 0; i0 < rows; i0 += 16) {
      const int64_t n = rows - i0 < 16 ? rows - i0 : 16, m = cols - j0 < 16 ? cols - j0 : 16;
      const __mmask16 loaded = first_lanes(m), stored = first_lanes(n);
      Row16 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++)
        r[i] =
            i < n
                ? reinterpret_cast<Row16>(_mm512_maskz_loadu_ps(loaded, c + (i0 + i) * c_row + j0))
                : Row16{};
      transpose(r);
#pragma GCC unroll 16
      for (int j = 0; j < 16; j++)
        if (j < m)
          _mm512_mask_storeu_ps(y + (j0 + j) * y_row + i0, stored, reinterpret_cast<__m512>(r[j]));
    }
}
#endif
void store_f32(const float* c, int64_t c_row, int64_t rows, int64_t cols, DType dtype, void* y,
               int64_t y_row) {
  if (dtype == DType::f16)
    return store_transposed(c, c_row, rows, cols, static_cast<Half*>(y), y_row);
  if (dtype == DType::bf16)
    return store_transposed(c, c_row, rows, cols, static_cast<Brain*>(y), y_row);
  store_transposed(c, c_row, rows, cols, static_cast<float*>(y), y_row);
}
void store_f64(const double* c, int64_t c_row, int64_t rows, int64_t cols, DType, void* y,
               int64_t y_row) {
  store_transposed(c, c_row, rows, cols, static_cast<double*>(y), y_row);
}
void store_i64(const int64_t* c, int64_t c_row, int64_t rows, int64_t cols, DType dtype, void* y,
               int64_t y_row) {
  switch (dtype) {
    case DType::i64: return store_transposed(c, c_row, rows, cols, static_cast<int64_t*>(y), y_row);
    case DType::i32: return store_transposed(c, c_row, rows, cols, static_cast<int32_t*>(y), y_row);
    case DType::i16: return store_transposed(c, c_row, rows, cols, static_cast<int16_t*>(y), y_row);
    case DType::boolean:
      return store_transposed(c, c_row, rows, cols, static_cast<BoolStore*>(y), y_row);
    default: return store_transposed(c, c_row, rows, cols, static_cast<uint8_t*>(y), y_row);
  }
}

template <class T, class V>
constexpr ConvOps<T> conv_ops() {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  return {kLanes,
          {{body<T, V, 1, 1>(), body<T, V, 1, 2>(), body<T, V, 1, 3>(), body<T, V, 1, 4>()},
           {body<T, V, 2, 1>(), body<T, V, 2, 2>(), body<T, V, 2, 3>(), body<T, V, 2, 4>()}},
          kSums / 2,
          2 * kLanes,
          mix_channels<T, V>,
          add_lines<T, V>,
          multiply_lines<T, V>,
          nullptr,
          nullptr};
}

}  // namespace

void set_conv_ops(VectorOps& ops) {
  ops.conv_f32 = conv_ops<float, FloatV>();
  ops.conv_f32.copy_image = copy_image_f32, ops.conv_f32.store_transposed = store_f32;
  ops.conv_f64 = conv_ops<double, DoubleV>();
  ops.conv_f64.copy_image = copy_image_f64, ops.conv_f64.store_transposed = store_f64;
  ops.conv_i64 = conv_ops<int64_t, LongV>();
  ops.conv_i64.copy_image = copy_image_i64, ops.conv_i64.store_transposed = store_i64;
}

}  // namespace moai::cpu::MOAI_TIER
