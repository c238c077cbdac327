// Softmax of attention scores, for one instruction set. Over the columns of a block a lane is a
// query, so nothing is added across lanes; over a row lanes are added in a tree.
#include "src/device/cpu/gemm_micro.h"
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

template <class T>
constexpr int kWidth = kColVectors * static_cast<int>(sizeof(FloatV) / sizeof(T));
constexpr int64_t kBlock = 64;  // keys summed before blocks are combined

template <class T>
void column_max(const T* s, int64_t n, T* out) {
  T most[kWidth<T>];
  for (int q = 0; q < kWidth<T>; q++) most[q] = -static_cast<T>(__builtin_inff());
  for (int64_t j = 0; j < n; j++, s += kWidth<T>)
    for (int q = 0; q < kWidth<T>; q++) most[q] = maximum(most[q], s[q]);
  for (int q = 0; q < kWidth<T>; q++) out[q] = most[q];
}

template <class T>
void exp_columns(T* s, int64_t n, T scale, const T* shift, T* sum) {
  T total[kWidth<T>] = {}, minus[kWidth<T>];
  for (int q = 0; q < kWidth<T>; q++) minus[q] = shift[q];
  for (int64_t j = 0; j < n;) {
    T block[kWidth<T>] = {};
    for (const int64_t end = n - j < kBlock ? n : j + kBlock; j < end; j++, s += kWidth<T>)
      for (int q = 0; q < kWidth<T>; q++) {
        const T e = exp_(s[q] * scale - minus[q]);
        s[q] = e;
        block[q] += e;
      }
    for (int q = 0; q < kWidth<T>; q++) total[q] += block[q];
  }
  if (sum == nullptr) return;
  for (int q = 0; q < kWidth<T>; q++) sum[q] = total[q];
}

template <class T>
void scale_add(T* s, int64_t n, T scale, const T* bias) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n * kWidth<T>; i++) s[i] = s[i] * scale + bias[i];
}
template <class T>
void multiply(const T* a, const T* b, int64_t n, T* out) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n * kWidth<T>; i++) out[i] = a[i] * b[i];
}
template <class T>
void score_grad(const T* p, T* dp, int64_t n, const T* d, T scale) {
  T minus[kWidth<T>];
  for (int q = 0; q < kWidth<T>; q++) minus[q] = d[q];
  for (int64_t j = 0; j < n; j++, p += kWidth<T>, dp += kWidth<T>)
#pragma GCC ivdep
    for (int q = 0; q < kWidth<T>; q++) dp[q] = p[q] * (dp[q] - minus[q]) * scale;
}

constexpr int kLanes = 16;  // of a row

template <class T>
T row_max(const T* s, int64_t n) {
  T most[kLanes];
  for (int q = 0; q < kLanes; q++) most[q] = -static_cast<T>(__builtin_inff());
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (int q = 0; q < kLanes; q++) most[q] = maximum(most[q], s[j + q]);
  for (int q = 0; j + q < n; q++) most[q] = maximum(most[q], s[j + q]);
  for (int h = kLanes / 2; h >= 1; h /= 2)
    for (int q = 0; q < h; q++) most[q] = maximum(most[q], most[q + h]);
  return most[0];
}

template <class T>
T exp_row(T* s, int64_t n, T scale, T shift) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) s[j] = exp_(s[j] * scale - shift);
  T sum[kLanes] = {};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (int q = 0; q < kLanes; q++) sum[q] += s[j + q];
  for (int q = 0; j + q < n; q++) sum[q] += s[j + q];
  for (int h = kLanes / 2; h >= 1; h /= 2)
    for (int q = 0; q < h; q++) sum[q] += sum[q + h];
  return sum[0];
}

template <class T>
constexpr AttentionOps<T> kOps = {column_max<T>, exp_columns<T>, scale_add<T>, multiply<T>,
                                  score_grad<T>, row_max<T>,     exp_row<T>};

}  // namespace

void set_attention_ops(VectorOps& ops) {
  ops.attention_f32 = kOps<float>;
  ops.attention_f64 = kOps<double>;
}

}  // namespace moai::cpu::MOAI_TIER
