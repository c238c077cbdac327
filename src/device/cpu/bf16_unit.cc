// Packing and products of bf16 tiles, for one unit: MOAI_BF16_UNIT is amx or avx512.
#include <immintrin.h>
#include <string.h>

#include "src/device/cpu/bf16_ops.h"
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_image.h"
#include "src/device/cpu/vector_transpose.h"

namespace moai::cpu {
namespace {

constexpr int kPairs = kBf16Depth / 2;

typedef uint16_t Half16 __attribute__((vector_size(32)));
typedef uint32_t Word16 __attribute__((vector_size(64)));

// Element i of two rows side by side.
MOAI_INLINE Row16 pairs_of(__m256i first, __m256i second) {
  const Word16 low = __builtin_convertvector(reinterpret_cast<Half16>(first), Word16),
               high = __builtin_convertvector(reinterpret_cast<Half16>(second), Word16);
  return reinterpret_cast<Row16>(low | high << 16);
}
MOAI_INLINE void store_tile(const Row16 (&r)[16], uint16_t* out) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++)
    _mm512_store_si512(out + i * kBf16Depth, reinterpret_cast<__m512i>(r[i]));
}

// Lines of neighbouring depths; `lines` and `depth` are what is left of the matrix.
template <class At>
MOAI_INLINE void read_lines(At&& at, int64_t lines, int64_t depth, Row16 (&r)[16]) {
  const __mmask32 mask = first_halves(depth);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++)
    r[i] = i < lines ? reinterpret_cast<Row16>(_mm512_maskz_loadu_epi16(mask, at(i))) : Row16{};
}
// Depths of neighbouring lines.
template <class At>
MOAI_INLINE void read_rows(At&& at, int64_t lines, int64_t depth, Row16 (&r)[16]) {
  const __mmask16 mask = first_lanes(lines);
#pragma GCC unroll 16
  for (int p = 0; p < kPairs; p++) {
    const __m256i none = _mm256_setzero_si256();
    r[p] = pairs_of(2 * p < depth ? _mm256_maskz_loadu_epi16(mask, at(2 * p)) : none,
                    2 * p + 1 < depth ? _mm256_maskz_loadu_epi16(mask, at(2 * p + 1)) : none);
  }
}
void read_any(const uint16_t* from, int64_t line_step, int64_t depth_step, int64_t lines,
              int64_t depth, Row16 (&r)[16]) {
  alignas(64) uint16_t tile[kBf16Lines][kBf16Depth] = {};
  for (int i = 0; i < kBf16Lines && i < lines; i++)
    for (int p = 0; p < kBf16Depth && p < depth; p++)
      tile[i][p] = from[i * line_step + p * depth_step];
  memcpy(r, tile, sizeof r);
}

void pack(Bf16Side side, const uint16_t* from, int64_t line_step, int64_t depth_step, int64_t lines,
          int64_t depth, uint16_t* out) {
  const bool is_by_rows = line_step == 1 && depth_step != 1;
  for (int64_t p = 0; p < depth; p += kBf16Depth)
    for (int64_t first = 0; first < kBf16Panel; first += kBf16Lines, out += kBf16Tile) {
      if (first >= lines) {
        memset(out, 0, kBf16Tile * sizeof *out);
        continue;
      }
      const uint16_t* x = from + first * line_step + p * depth_step;
      Row16 r[16];
      if (is_by_rows)
        read_rows([&](int q) { return x + q * depth_step; }, lines - first, depth - p, r);
      else if (depth_step == 1)
        read_lines([&](int i) { return x + i * line_step; }, lines - first, depth - p, r);
      else
        read_any(x, line_step, depth_step, lines - first, depth - p, r);
      if (is_by_rows != (side == Bf16Side::right)) transpose(r);
      store_tile(r, out);
    }
}

// read(p, first, r): the tile of the depth from p on and the lines from `first` on.
template <class Read>
MOAI_INLINE void pack_offsets(int64_t depth, uint16_t* out, Read&& read) {
  for (int64_t p = 0; p < depth; p += kBf16Depth)
    for (int64_t first = 0; first < kBf16Panel; first += kBf16Lines, out += kBf16Tile) {
      Row16 r[16];
      read(p, first, r);
      store_tile(r, out);
    }
}
void pack_lines(const uint16_t* from, const int32_t* offsets, int64_t lines, int64_t depth,
                uint16_t* out) {
  pack_offsets(depth, out, [&](int64_t p, int64_t first, Row16(&r)[16]) {
    read_lines([&](int i) { return from + offsets[first + i] + p; }, lines - first, depth - p, r);
  });
}
void pack_rows(const uint16_t* from, const int32_t* offsets, int64_t lines, int64_t depth,
               uint16_t* out) {
  pack_offsets(depth, out, [&](int64_t p, int64_t first, Row16(&r)[16]) {
    read_rows([&](int q) { return from + offsets[p + q] + first; }, lines - first, depth - p, r);
  });
}

void copy_padded(const ConvImage& image, const uint16_t* x, uint16_t* out) {
  copy_image(image, x, out);
}

void narrow(const float* from, int64_t from_row, int64_t rows, int64_t cols, uint16_t* to,
            int64_t to_row) {
  for (int64_t i = 0; i < rows; i++, from += from_row, to += to_row)
    for (int64_t j = 0; j < cols; j += kBf16Lines) {
      const __mmask16 mask = first_lanes(cols - j);
      const __m512 x = _mm512_maskz_loadu_ps(mask, from + j);
      _mm256_mask_storeu_epi16(to + j, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
    }
}

#if defined(__AMX_BF16__)

struct TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
// Eight tiles of 16 rows of 64 bytes. Static: the intrinsic does not tell the compiler that it
// reads all of it.
alignas(64) const TileConfig kTiles = {
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
void begin() { _tile_loadconfig(&kTiles); }
void end() { _tile_release(); }

// Registers 0 to 3 hold the result, 4 and 5 what is left, 6 and 7 what is right.
template <int kLeft, int kRight>
void multiply_tiles(int64_t depths, const uint16_t* a, const uint16_t* b, float* c, int64_t c_row,
                    bool add) {
  const int64_t row_bytes = c_row * 4;
  float* const low = c + kBf16Lines * c_row;
  if (add) {
    _tile_loadd(0, c, row_bytes);
    if constexpr (kRight == 2) _tile_loadd(1, c + kBf16Lines, row_bytes);
    if constexpr (kLeft == 2) _tile_loadd(2, low, row_bytes);
    if constexpr (kLeft == 2 && kRight == 2) _tile_loadd(3, low + kBf16Lines, row_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t p = 0; p < depths; p++, a += 2 * kBf16Tile, b += 2 * kBf16Tile) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kRight == 2) {
      _tile_loadd(7, b + kBf16Tile, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kLeft == 2) {
      _tile_loadd(5, a + kBf16Tile, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kRight == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, row_bytes);
  if constexpr (kRight == 2) _tile_stored(1, c + kBf16Lines, row_bytes);
  if constexpr (kLeft == 2) _tile_stored(2, low, row_bytes);
  if constexpr (kLeft == 2 && kRight == 2) _tile_stored(3, low + kBf16Lines, row_bytes);
}

#else

void begin() {}
void end() {}

constexpr int kRows = 8;  // rows of sums in registers

MOAI_INLINE __m512 add_products(__m512 sum, __m512i left, __m512i right) {
#if defined(__clang__)
  // Clang 16 does not survive the intrinsic's operands as what they are loaded as.
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
  return sum;
#else
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(left), reinterpret_cast<__m512bh>(right));
#endif
}

template <int kLeft, int kRight>
void multiply_tiles(int64_t depths, const uint16_t* a, const uint16_t* b, float* c, int64_t c_row,
                    bool add) {
  for (int first = 0; first < kLeft * kBf16Lines; first += kRows) {
    __m512 sums[kRows][kRight];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kRight; j++)
        sums[i][j] =
            add ? _mm512_loadu_ps(c + (first + i) * c_row + j * kBf16Lines) : _mm512_setzero_ps();
    const uint16_t* x = a + first * kBf16Depth;
    const uint16_t* y = b;
    for (int64_t p = 0; p < depths; p++, x += 2 * kBf16Tile, y += 2 * kBf16Tile)
      for (int q = 0; q < kPairs; q++) {
        __m512i right[kRight];
#pragma GCC unroll 2
        for (int j = 0; j < kRight; j++)
          right[j] = _mm512_load_si512(y + j * kBf16Tile + q * kBf16Depth);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; i++) {
          int pair;
          memcpy(&pair, x + i * kBf16Depth + 2 * q, sizeof pair);
          const __m512i left = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
          for (int j = 0; j < kRight; j++) sums[i][j] = add_products(sums[i][j], left, right[j]);
        }
      }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kRight; j++)
        _mm512_storeu_ps(c + (first + i) * c_row + j * kBf16Lines, sums[i][j]);
  }
}

#endif

void multiply(int64_t depths, const uint16_t* a, int a_tiles, const uint16_t* b, int b_tiles,
              float* c, int64_t c_row, bool add) {
  if (a_tiles == 2)
    return b_tiles == 2 ? multiply_tiles<2, 2>(depths, a, b, c, c_row, add)
                        : multiply_tiles<2, 1>(depths, a, b, c, c_row, add);
  b_tiles == 2 ? multiply_tiles<1, 2>(depths, a, b, c, c_row, add)
               : multiply_tiles<1, 1>(depths, a, b, c, c_row, add);
}

}  // namespace

#define MOAI_BF16_FUNCTION_(unit) bf16_ops_##unit
#define MOAI_BF16_FUNCTION(unit) MOAI_BF16_FUNCTION_(unit)
const Bf16Ops& MOAI_BF16_FUNCTION(MOAI_BF16_UNIT)() {
  static constexpr Bf16Ops kOps = {begin,     end,      pack,        pack_lines,
                                   pack_rows, multiply, copy_padded, narrow};
  return kOps;
}

}  // namespace moai::cpu
