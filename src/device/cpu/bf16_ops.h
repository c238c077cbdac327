// Products of bf16 operands by the processor's unit for them, built once per unit. Plain pointers
// and sizes only.
//
// Operands are packed in tiles of 16 lines x 32 of depth, 1 KiB each. The left one (lines are rows
// of the result) keeps the depth of a line together; the right one (lines are columns) keeps the
// lines of a pair of depths together. Two tiles side by side are a panel, which goes on along the
// depth. What lies outside the matrix is zero.
#pragma once
#include <cstdint>

#include "src/device/cpu/conv_ops.h"

namespace moai::cpu {

inline constexpr int kBf16Lines = 16, kBf16Depth = 32, kBf16Tile = kBf16Lines * kBf16Depth;
inline constexpr int kBf16Panel = 2 * kBf16Lines;  // lines

enum class Bf16Side : uint8_t { left, right };

struct Bf16Ops {
  // Around every use of `multiply` by a thread: the unit's state is set up and given back.
  void (*begin)();
  void (*end)();
  // One panel of `lines` <= 32 lines, whose steps are given in elements.
  void (*pack)(Bf16Side side, const uint16_t* from, int64_t line_step, int64_t depth_step,
               int64_t lines, int64_t depth, uint16_t* out);
  // The same, left side: line i is `depth` neighbours from from + offsets[i] on.
  void (*pack_lines)(const uint16_t* from, const int32_t* offsets, int64_t lines, int64_t depth,
                     uint16_t* out);
  // The same, right side: `lines` neighbours are at from + offsets[p] for the depth p.
  void (*pack_rows)(const uint16_t* from, const int32_t* offsets, int64_t lines, int64_t depth,
                    uint16_t* out);
  // c = a b, or c += a b, for `depths` tiles of depth of a panel each. c is 16 or 32 rows by 16 or
  // 32 columns, by the tiles of each side that hold lines (1 or 2).
  void (*multiply)(int64_t depths, const uint16_t* a, int a_tiles, const uint16_t* b, int b_tiles,
                   float* c, int64_t c_row, bool add);
  // Channels of an image with its padding.
  void (*copy_image)(const ConvImage& image, const uint16_t* x, uint16_t* out);
  // A block of rows rounded to the nearest even.
  void (*narrow)(const float* from, int64_t from_row, int64_t rows, int64_t cols, uint16_t* to,
                 int64_t to_row);
};

const Bf16Ops& bf16_ops_amx();
const Bf16Ops& bf16_ops_avx512();

}  // namespace moai::cpu
