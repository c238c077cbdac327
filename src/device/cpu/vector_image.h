// Copies of images into scratch, with their padding.
#pragma once
#include <stdint.h>

#include <type_traits>

#include "src/device/cpu/conv_ops.h"
#include "src/device/cpu/vector_lanes.h"
#include "src/device/cpu/vector_widen.h"

namespace {

using moai::cpu::ConvImage;

// to[0..n) = from[0], from[step], ...
template <class S, class T>
MOAI_INLINE void copy_row(const S* from, int64_t step, int64_t n, T* to) {
  if (step == 1)
    for (int64_t i = 0; i < n; i++) to[i] = widen(from[i], T());
  else
    for (int64_t i = 0; i < n; i++) to[i] = widen(from[i * step], T());
}
template <class T>
MOAI_INLINE void zero_row(T* to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = T();
}
#if defined(__AVX512F__)
// Rows are short: a masked vector instead of a loop over what is left.
MOAI_INLINE void copy_row(const float* from, int64_t step, int64_t n, float* to) {
  if (step == 1) {
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 m = first_lanes(n - i);
      _mm512_mask_storeu_ps(to + i, m, _mm512_maskz_loadu_ps(m, from + i));
    }
    return;
  }
  for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}
MOAI_INLINE void zero_row(float* to, int64_t n) {
  for (int64_t i = 0; i < n; i += 16)
    _mm512_mask_storeu_ps(to + i, first_lanes(n - i), _mm512_setzero_ps());
}
MOAI_INLINE __mmask32 first_halves(int64_t n) {
  return n >= 32 ? 0xffffffffu : static_cast<__mmask32>((1u << n) - 1);
}
MOAI_INLINE void copy_row(const uint16_t* from, int64_t step, int64_t n, uint16_t* to) {
  if (step == 1) {
    for (int64_t i = 0; i < n; i += 32) {
      const __mmask32 m = first_halves(n - i);
      _mm512_mask_storeu_epi16(to + i, m, _mm512_maskz_loadu_epi16(m, from + i));
    }
    return;
  }
  for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}
MOAI_INLINE void zero_row(uint16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; i += 32)
    _mm512_mask_storeu_epi16(to + i, first_halves(n - i), _mm512_setzero_si512());
}
#endif

// Axis `d`, whole and without padding, becomes part of the one before it.
MOAI_INLINE bool join_axis(ConvImage& image, int d) {
  const bool is_whole = image.low[d] == 0 && image.size[d] == image.in[d];
  if (!is_whole || image.x_step[d - 1] != image.in[d] * image.x_step[d]) return false;
  image.in[d - 1] *= image.in[d], image.size[d - 1] *= image.in[d];
  image.low[d - 1] *= image.in[d], image.x_step[d - 1] = image.x_step[d];
  return true;
}
// The same copy in longer rows, where rows follow one another in both places.
MOAI_INLINE void lengthen_rows(ConvImage& image) {
  if (!join_axis(image, 2)) return;
  const auto move = [&](int to, int from) {
    image.in[to] = image.in[from], image.size[to] = image.size[from];
    image.low[to] = image.low[from], image.x_step[to] = image.x_step[from];
  };
  const bool is_plane = join_axis(image, 1);
  move(2, is_plane ? 0 : 1);
  if (is_plane) image.in[0] = image.size[0] = 1, image.low[0] = 0;
  image.in[1] = image.size[1] = 1, image.low[1] = 0;
}

#if defined(__AVX512F__)
// Rows of one vector at most: an access for each, padding and all.
MOAI_INLINE void copy_short_rows(const ConvImage& image, int64_t before, int64_t after,
                                 const uint16_t* x, uint16_t* out) {
  const int64_t row = image.size[2];
  const __mmask32 all = first_halves(row), inside = first_halves(after) & ~first_halves(before);
  x += image.low[2];  // what lies before the image is not read
  for (int64_t c = 0; c < image.channels; c++, x += image.x_channel)
    for (int64_t i = 0; i < image.size[0]; i++)
      for (int64_t j = 0; j < image.size[1]; j++, out += row) {
        const int64_t z = image.low[0] + i, y = image.low[1] + j;
        const bool is_outside = z < 0 || z >= image.in[0] || y < 0 || y >= image.in[1];
        const __m512i elements = _mm512_maskz_loadu_epi16(
            is_outside ? 0 : inside, x + z * image.x_step[0] + y * image.x_step[1]);
        _mm512_mask_storeu_epi16(out, all, elements);
      }
}
#endif

template <class S, class T>
void copy_image(ConvImage image, const S* x, T* out) {
  lengthen_rows(image);
  const int64_t row = image.size[2];
  int64_t before = image.low[2] < 0 ? -image.low[2] : 0;  // zeros, then elements, then zeros
  before = before < row ? before : row;
  int64_t after = image.in[2] - image.low[2];
  after = after < before ? before : after < row ? after : row;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<S, uint16_t> && std::is_same_v<T, uint16_t>) {
    if (row <= 32 && image.x_step[2] == 1) return copy_short_rows(image, before, after, x, out);
  }
#endif
  for (int64_t c = 0; c < image.channels; c++, x += image.x_channel)
    for (int64_t i = 0; i < image.size[0]; i++)
      for (int64_t j = 0; j < image.size[1]; j++, out += row) {
        const int64_t at[2] = {image.low[0] + i, image.low[1] + j};
        if (at[0] < 0 || at[0] >= image.in[0] || at[1] < 0 || at[1] >= image.in[1]) {
          zero_row(out, row);
          continue;
        }
        zero_row(out, before);
        copy_row(x + at[0] * image.x_step[0] + at[1] * image.x_step[1] +
                     (image.low[2] + before) * image.x_step[2],
                 image.x_step[2], after - before, out + before);
        zero_row(out + after, row - after);
      }
}

}  // namespace
