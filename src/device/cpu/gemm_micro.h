// The register-blocked product of two panels, written once for every vector width. Every element of
// C is one chain of fused multiply-adds in k order, whatever the width.
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
using FloatV = __m512;
using DoubleV = __m512d;
constexpr int kRowsF = 14, kRowsD = 14;
__attribute__((always_inline)) inline FloatV multiply_add(FloatV a, FloatV b, FloatV c) {
  return _mm512_fmadd_ps(a, b, c);
}
__attribute__((always_inline)) inline DoubleV multiply_add(DoubleV a, DoubleV b, DoubleV c) {
  return _mm512_fmadd_pd(a, b, c);
}
__attribute__((always_inline)) inline FloatV spread(float x, FloatV) { return _mm512_set1_ps(x); }
__attribute__((always_inline)) inline DoubleV spread(double x, DoubleV) {
  return _mm512_set1_pd(x);
}
#elif defined(__AVX2__)
using FloatV = __m256;
using DoubleV = __m256d;
constexpr int kRowsF = 6, kRowsD = 6;
__attribute__((always_inline)) inline FloatV multiply_add(FloatV a, FloatV b, FloatV c) {
  return _mm256_fmadd_ps(a, b, c);
}
__attribute__((always_inline)) inline DoubleV multiply_add(DoubleV a, DoubleV b, DoubleV c) {
  return _mm256_fmadd_pd(a, b, c);
}
__attribute__((always_inline)) inline FloatV spread(float x, FloatV) { return _mm256_set1_ps(x); }
__attribute__((always_inline)) inline DoubleV spread(double x, DoubleV) {
  return _mm256_set1_pd(x);
}
#else
typedef float FloatV __attribute__((vector_size(16)));
typedef double DoubleV __attribute__((vector_size(16)));
constexpr int kRowsF = 4, kRowsD = 4;
template <class V>
__attribute__((always_inline)) inline V multiply_add(V a, V b, V c) {
  return a * b + c;
}
__attribute__((always_inline)) inline FloatV spread(float x, FloatV) { return FloatV{x, x, x, x}; }
__attribute__((always_inline)) inline DoubleV spread(double x, DoubleV) { return DoubleV{x, x}; }
#endif

constexpr int kColVectors = 2;

template <class T, class V, int kRows>
__attribute__((always_inline)) inline void multiply_panels(int64_t k, const T* a, const T* b,
                                                           V (&acc)[kRows][kColVectors]) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) acc[i][j] = V{};
  for (int64_t p = 0; p < k; p++, a += kRows, b += kColVectors * kLanes) {
    V bv[kColVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) memcpy(&bv[j], b + j * kLanes, sizeof(V));
    __builtin_prefetch(b + 8 * kColVectors * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      const V av = spread(a[i], V{});
#pragma GCC unroll 4
      for (int j = 0; j < kColVectors; j++) acc[i][j] = multiply_add(av, bv[j], acc[i][j]);
    }
  }
}

template <class T, class V, int kRows>
void micro(int64_t k, const T* a, const T* b, T* c, int64_t ldc, int m, int n, bool add) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  V acc[kRows][kColVectors];
  // C is on its way while the product is made.
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) __builtin_prefetch(c + i * ldc + j * kLanes, 1);
  multiply_panels<T, V, kRows>(k, a, b, acc);
  if (m == kRows && n == kColVectors * kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
      for (int j = 0; j < kColVectors; j++) {
        T* to = c + i * ldc + j * kLanes;
        V old = V{};
        if (add) memcpy(&old, to, sizeof(V));
        const V sum = add ? old + acc[i][j] : acc[i][j];
        memcpy(to, &sum, sizeof(V));
      }
    return;
  }
  alignas(64) T edge[kRows][kColVectors * kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kColVectors; j++) memcpy(&edge[i][j * kLanes], &acc[i][j], sizeof(V));
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) c[i * ldc + j] = add ? c[i * ldc + j] + edge[i][j] : edge[i][j];
}

}  // namespace
