// Random words: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (2011). A word depends on seed, offset and its own number alone, so any split of a tensor draws
// the same.
#pragma once
#include <array>
#include <bit>
#include <cstdint>

namespace moai {

using PhiloxBlock = std::array<uint32_t, 4>;

constexpr PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9, key1 += 0xBB67AE85;
  }
  return counter;
}

// Four words of a stream: words 4n .. 4n+3 of a tensor are block offset/4 + n.
constexpr PhiloxBlock random_block(uint64_t seed, uint64_t block) {
  return philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
                static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}
constexpr uint32_t random_word(uint64_t seed, uint64_t offset, uint64_t w) {
  return random_block(seed, offset / 4 + w / 4)[w % 4];
}

// [0, 1) from one word: 24 bits.
constexpr float uniform_f32(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
// The same rounded down to `bits` significant bits (f16: 11, bf16: 8), so it stays below 1.
constexpr float uniform_narrow(uint32_t word, int bits) {
  uint32_t m = word >> 8;
  int extra = std::bit_width(m) - bits;
  if (extra > 0) m = m >> extra << extra;
  return static_cast<float>(m) * 0x1p-24f;
}
// [0, 1) from two words: 53 bits. Element i of a tensor has words 2i (high) and 2i + 1 (low).
constexpr double uniform_f64(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}
// rng_bits: element i from words 2i (low) and 2i + 1 (high).
constexpr int64_t random_bits(uint32_t low, uint32_t high) {
  return static_cast<int64_t>(uint64_t{high} << 32 | low);
}

}  // namespace moai
