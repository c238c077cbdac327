// The words of moai/philox.h, many counters at a time. Included by files that are built per
// instruction set.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "src/device/cpu/tile_math.h"

namespace {

constexpr int kBlocks = 16;  // counters at a time
constexpr int kRandomWords = 4 * kBlocks;

// A counter word in the low half of each 64-bit lane; what a step leaves in the high half is never
// read, as multiply_words() takes low halves only.
#if defined(__AVX512F__)
typedef uint64_t Lanes __attribute__((vector_size(64)));
MOAI_INLINE Lanes lanes_from(uint64_t first) { return first + Lanes{0, 1, 2, 3, 4, 5, 6, 7}; }
MOAI_INLINE Lanes multiply_words(Lanes a, uint32_t b) {  // maskz: the plain one warns in GCC 12
  return reinterpret_cast<Lanes>(_mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a),
                                                        reinterpret_cast<__m512i>(Lanes{} + b)));
}
#elif defined(__AVX2__)
typedef uint64_t Lanes __attribute__((vector_size(32)));
MOAI_INLINE Lanes lanes_from(uint64_t first) { return first + Lanes{0, 1, 2, 3}; }
MOAI_INLINE Lanes multiply_words(Lanes a, uint32_t b) {
  return reinterpret_cast<Lanes>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(Lanes{} + b)));
}
#else
using Lanes = uint64_t;
MOAI_INLINE Lanes lanes_from(uint64_t first) { return first; }
MOAI_INLINE Lanes multiply_words(Lanes a, uint32_t b) { return (a & 0xFFFFFFFF) * b; }
#endif
constexpr int kCounters = static_cast<int>(sizeof(Lanes) / 8);

// Words of blocks first .. first + 15, in stream order.
MOAI_INLINE void random_words(uint64_t seed, uint64_t first, uint32_t* out) {
  for (int at = 0; at < kBlocks; at += kCounters) {
    const Lanes counter = lanes_from(first + static_cast<uint64_t>(at));
    Lanes c0 = counter, c1 = counter >> 32, c2 = Lanes{}, c3 = Lanes{};
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
      const Lanes a = multiply_words(c0, 0xD2511F53), b = multiply_words(c2, 0xCD9E8D57);
      c0 = (b >> 32) ^ c1 ^ k0;
      c1 = b;
      c2 = (a >> 32) ^ c3 ^ k1;
      c3 = a;
      k0 += 0x9E3779B9, k1 += 0xBB67AE85;
    }
    uint64_t words[4][kCounters];
    memcpy(words[0], &c0, sizeof c0), memcpy(words[1], &c1, sizeof c1);
    memcpy(words[2], &c2, sizeof c2), memcpy(words[3], &c3, sizeof c3);
    for (int q = 0; q < kCounters; q++)
      for (int w = 0; w < 4; w++) out[4 * (at + q) + w] = static_cast<uint32_t>(words[w][q]);
  }
}

}  // namespace
