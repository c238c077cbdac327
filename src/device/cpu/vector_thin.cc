// Products with few rows of A, read where they lie: packing would cost as much as multiplying. For
// one instruction set.
#include <utility>

#include "src/device/cpu/gemm_micro.h"
#include "src/device/cpu/vector_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

// c (kRows x two vectors) = a b, or c + a b: each element one chain in k order, continued where
// `add` is set.
template <class T, class V, int kRows>
void thin_rows(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb, T* c,
               int64_t ldc, bool add) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  V acc[kRows][kColVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) {
      acc[i][j] = V{};
      if (add) memcpy(&acc[i][j], c + i * ldc + j * kLanes, sizeof(V));
    }
  for (int64_t p = 0; p < k; p++, a += a_col, b += ldb) {
    V bv[kColVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) {
      memcpy(&bv[j], b + j * kLanes, sizeof(V));
      __builtin_prefetch(b + 8 * ldb + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      const V av = spread(a[i * a_row], V{});
#pragma GCC unroll 4
      for (int j = 0; j < kColVectors; j++) acc[i][j] = multiply_add(av, bv[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) memcpy(c + i * ldc + j * kLanes, &acc[i][j], sizeof(V));
}

template <class T, class V, int... kRow>
void set_rows(GemmOps<T>& ops, std::integer_sequence<int, kRow...>) {
  ((ops.thin[kRow] = thin_rows<T, V, kRow + 1>), ...);
}

}  // namespace

void set_thin_ops(VectorOps& ops) {
  set_rows<float, FloatV>(ops.gemm_f32, std::make_integer_sequence<int, kRowsF>());
  set_rows<double, DoubleV>(ops.gemm_f64, std::make_integer_sequence<int, kRowsD>());
}

}  // namespace moai::cpu::MOAI_TIER
