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

// c[i][j] = sum of a[i][p] * b[j * ldb + p], in kLanes chains and a tree.
template <int kRows>
void dots(int64_t k, const float* a, const float* b, int64_t ldb, int64_t n, float* c,
          int64_t ldc) {
  for (int64_t j = 0; j < n; j++, b += ldb) {
    float lanes[kRows][kLanes] = {};
    int64_t p = 0;
    for (; p + kLanes <= k; p += kLanes)
      for (int i = 0; i < kRows; i++)
        for (int q = 0; q < kLanes; q++) lanes[i][q] = mad(a[i * k + p + q], b[p + q], lanes[i][q]);
    int64_t done = 0;  // of the last lanes: a short row is nothing else
    for (int width = kLanes / 2; width >= 8; width /= 2) {
      if (k - p - done < width) continue;
      for (int i = 0; i < kRows; i++)
        for (int q = 0; q < width; q++)
          lanes[i][done + q] = mad(a[i * k + p + done + q], b[p + done + q], lanes[i][done + q]);
      done += width;
    }
    for (int i = 0; i < kRows; i++) {
      for (int64_t q = done; p + q < k; q++)
        lanes[i][q] = mad(a[i * k + p + q], b[p + q], lanes[i][q]);
      for (int h = kLanes / 2; h >= 1; h /= 2)
        for (int q = 0; q < h; q++) lanes[i][q] += lanes[i][q + h];
      c[i * ldc + j] = lanes[i][0];
    }
  }
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
