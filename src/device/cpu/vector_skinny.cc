// Products with at most kSkinnyRows rows of A: B is read once, where it lies. For one instruction
// set.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

constexpr int kDepth = 8;   // rows of B that are added to a row of C at a time
constexpr int kLanes = 32;  // of a dot product

// c[i][j] += sum of a[i][p] * b[p * ldb + j], for each j in p order.
template <int kRows>
void add_rows(int64_t k, const float* a, const float* b, int64_t ldb, int64_t n, float* c,
              int64_t ldc) {
  for (int i = 0; i < kRows; i++)
    for (int64_t j = 0; j < n; j++) c[i * ldc + j] = 0;
  int64_t p = 0;
  for (; p + kDepth <= k; p += kDepth)
    for (int i = 0; i < kRows; i++) {
      const float* x = a + i * k + p;
      const float* from = b + p * ldb;
      float* to = c + i * ldc;
#pragma GCC ivdep
      for (int64_t j = 0; j < n; j++) {
        float sum = to[j];
        for (int q = 0; q < kDepth; q++) sum = mad(x[q], from[q * ldb + j], sum);
        to[j] = sum;
      }
    }
  for (; p < k; p++)
    for (int i = 0; i < kRows; i++)
#pragma GCC ivdep
      for (int64_t j = 0; j < n; j++)
        c[i * ldc + j] = mad(a[i * k + p], b[p * ldb + j], c[i * ldc + j]);
}

// lanes[0, width) += x * y, of constant width so that lanes stay in registers.
template <int kWidth>
void add_products(const float* x, const float* y, float* lanes) {
  for (int q = 0; q < kWidth; q++) lanes[q] = mad(x[q], y[q], lanes[q]);
}
// Out of line: inlined, the compiler moves the lanes of all dots one by one.
template <int kHalf>
float sum_of(float* lanes) {
  if constexpr (kHalf > 0) {
    for (int q = 0; q < kHalf; q++) lanes[q] += lanes[q + kHalf];
    return sum_of<kHalf / 2>(lanes);
  }
  return lanes[0];
}

// The next kColumns of dots(): their chains are independent, so none waits for the tree of another.
template <int kRows, int kColumns>
void dot_columns(int64_t k, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc) {
  constexpr int kDots = kRows * kColumns;  // row by row
  float lanes[kDots][kLanes];
  const auto row = [&](int dot) { return a + dot / kColumns * k; };
  const auto column = [&](int dot) { return b + dot % kColumns * ldb; };
#pragma GCC unroll 8
  for (int dot = 0; dot < kDots; dot++)
    for (float& lane : lanes[dot]) lane = 0;
  int64_t p = 0;
  for (; p + kLanes <= k; p += kLanes)
#pragma GCC unroll 8
    for (int dot = 0; dot < kDots; dot++)
      add_products<kLanes>(row(dot) + p, column(dot) + p, lanes[dot]);
  int64_t done = 0;  // of the last lanes: a short row is nothing else
  if (k - p >= 16) {
#pragma GCC unroll 8
    for (int dot = 0; dot < kDots; dot++)
      add_products<16>(row(dot) + p, column(dot) + p, lanes[dot]);
    done = 16;
  }
  if (k - p - done >= 8) {
    for (int dot = 0; dot < kDots; dot++)
      add_products<8>(row(dot) + p + done, column(dot) + p + done, lanes[dot] + done);
    done += 8;
  }
  if (p + done < k)
    for (int dot = 0; dot < kDots; dot++)
      for (int64_t q = done; p + q < k; q++)
        lanes[dot][q] = mad(row(dot)[p + q], column(dot)[p + q], lanes[dot][q]);
#pragma GCC unroll 8
  for (int dot = 0; dot < kDots; dot++)
    c[dot / kColumns * ldc + dot % kColumns] = sum_of<kLanes / 2>(lanes[dot]);
}

// c[i][j] = sum of a[i][p] * b[j * ldb + p], in kLanes chains and a tree.
template <int kRows>
void dots(int64_t k, const float* a, const float* b, int64_t ldb, int64_t n, float* c,
          int64_t ldc) {
  constexpr int kColumns = kRows == 1 ? 4 : kRows == 2 ? 2 : 1;
  int64_t j = 0;
  for (; j + kColumns <= n; j += kColumns)
    dot_columns<kRows, kColumns>(k, a, b + j * ldb, ldb, c + j, ldc);
  for (; j < n; j++) dot_columns<kRows, 1>(k, a, b + j * ldb, ldb, c + j, ldc);
}

}  // namespace

void set_skinny_ops(VectorOps& ops) {
  constexpr SkinnyFn kRowsOf[] = {add_rows<1>, add_rows<2>, add_rows<3>, add_rows<4>,
                                  add_rows<5>, add_rows<6>, add_rows<7>, add_rows<8>};
  constexpr SkinnyFn kDotsOf[] = {dots<1>, dots<2>, dots<3>, dots<4>,
                                  dots<5>, dots<6>, dots<7>, dots<8>};
  for (int i = 0; i < kSkinnyRows; i++)
    ops.skinny_rows[i] = kRowsOf[i], ops.skinny_dots[i] = kDotsOf[i];
}

}  // namespace moai::cpu::MOAI_TIER
