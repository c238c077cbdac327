// The words of moai/philox.h, sixteen counters at a time. Included by files that are built per instruction set.
#pragma once
#include "src/device/cpu/tile_math.h"

namespace {

constexpr int kBlocks = 16;  // one AVX-512 register of counters
constexpr int kRandomWords = 4 * kBlocks;

// Words of blocks first .. first + 15, in stream order.
MOAI_INLINE void random_words(uint64_t seed, uint64_t first, uint32_t* out) {
  alignas(64) uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (int q = 0; q < kBlocks; q++) {
    c0[q] = static_cast<uint32_t>(first + static_cast<uint64_t>(q));
    c1[q] = static_cast<uint32_t>((first + static_cast<uint64_t>(q)) >> 32);
    c2[q] = c3[q] = 0;
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (int q = 0; q < kBlocks; q++) {
      const uint64_t a = uint64_t{0xD2511F53} * c0[q], b = uint64_t{0xCD9E8D57} * c2[q];
      c0[q] = static_cast<uint32_t>(b >> 32) ^ c1[q] ^ k0;
      c1[q] = static_cast<uint32_t>(b);
      c2[q] = static_cast<uint32_t>(a >> 32) ^ c3[q] ^ k1;
      c3[q] = static_cast<uint32_t>(a);
    }
    k0 += 0x9E3779B9, k1 += 0xBB67AE85;
  }
  for (int q = 0; q < kBlocks; q++) {
    out[4 * q] = c0[q], out[4 * q + 1] = c1[q];
    out[4 * q + 2] = c2[q], out[4 * q + 3] = c3[q];
  }
}

}  // namespace
