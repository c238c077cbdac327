// Conversions, sums and dropout masks of rows, for one instruction set.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/vector_random.h"
#include "src/device/cpu/vector_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

void to_f32(DType dtype, const void* from, int64_t step, float* to, int64_t n) {
  const auto* bits = static_cast<const uint16_t*>(from);
  const auto* x = static_cast<const float*>(from);
  if (dtype == DType::bf16) {
    for (int64_t i = 0; i < n; i++) to[i] = from_bf16(bits[i * step]);
  } else if (dtype == DType::f16) {
    for (int64_t i = 0; i < n; i++) to[i] = from_f16(bits[i * step]);
  } else if (step == 1) {
    memcpy(to, x, static_cast<size_t>(n) * 4);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = x[i * step];
  }
}
void from_f32(DType dtype, const float* from, void* to, int64_t n) {
  auto* bits = static_cast<uint16_t*>(to);
  if (dtype == DType::bf16) {
    for (int64_t i = 0; i < n; i++) bits[i] = to_bf16(from[i]);
  } else if (dtype == DType::f16) {
    for (int64_t i = 0; i < n; i++) bits[i] = to_f16(from[i]);
  } else {
    memcpy(to, from, static_cast<size_t>(n) * 4);
  }
}
template <class T>
void add(const T* from, T* to, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

void dropout_mask(uint64_t seed, uint64_t offset, uint64_t first, double p, float keep, float* m,
                  int64_t n) {
  alignas(64) uint32_t words[kRandomWords];
  for (int64_t i = 0; i < n;) {
    random_words(seed, offset / 4 + first / 4, words);
    const int skip = static_cast<int>(first % 4);
    const int64_t fit = kRandomWords - skip, left = n - i < fit ? n - i : fit;
    for (int64_t q = 0; q < left; q++) {
      const float u = static_cast<float>(static_cast<int32_t>(words[skip + q] >> 8)) * 0x1p-24f;
      m[i + q] = static_cast<double>(u) >= p ? keep : 0.0f;
    }
    i += left, first += static_cast<uint64_t>(left);
  }
}

}  // namespace

void set_row_ops(VectorOps& ops) {
  ops.to_f32 = to_f32;
  ops.from_f32 = from_f32;
  ops.add_f32 = add<float>;
  ops.add_f64 = add<double>;
  ops.dropout_mask = dropout_mask;
}

}  // namespace moai::cpu::MOAI_TIER
