#include "src/base/crc32c.h"

#include <array>

#include "src/base/bytes.h"

namespace moai {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; bit++) c = (c & 1) ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t by_table(uint32_t c, const std::byte* p, size_t n) {
  for (; n; n--, p++) c = kTable[(c ^ static_cast<uint32_t>(*p)) & 0xff] ^ (c >> 8);
  return c;
}

#if defined(__x86_64__)
// One instruction takes three cycles until the next can use its result, so three lanes run side by
// side. A sum moves over the lane behind it as if that were zeros: it is linear in its bits.
constexpr size_t kLane = 1024;

constexpr std::array<std::array<uint32_t, 256>, 4> make_shift() {
  std::array<std::array<uint32_t, 256>, 4> shift{};
  for (uint32_t bit = 0; bit < 32; bit++) {
    uint32_t c = 1u << bit;
    for (size_t i = 0; i < kLane; i++) c = kTable[c & 0xff] ^ (c >> 8);
    for (uint32_t byte = 0; byte < 256; byte++)
      if (byte >> bit % 8 & 1) shift[bit / 8][byte] ^= c;
  }
  return shift;
}
constexpr std::array<std::array<uint32_t, 256>, 4> kShift = make_shift();

uint32_t over_lane(uint64_t c) {
  return kShift[0][c & 0xff] ^ kShift[1][c >> 8 & 0xff] ^ kShift[2][c >> 16 & 0xff] ^
         kShift[3][c >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t c, const std::byte* p,
                                                          size_t n) {
  uint64_t wide = c;
  for (; n >= 3 * kLane; n -= 3 * kLane, p += 3 * kLane) {
    uint64_t second = 0, third = 0;
    for (const std::byte* q = p; q != p + kLane; q += 8) {
      wide = __builtin_ia32_crc32di(wide, load_le<uint64_t>(q));
      second = __builtin_ia32_crc32di(second, load_le<uint64_t>(q + kLane));
      third = __builtin_ia32_crc32di(third, load_le<uint64_t>(q + 2 * kLane));
    }
    wide = over_lane(over_lane(wide) ^ second) ^ third;
  }
  for (; n >= 8; n -= 8, p += 8) wide = __builtin_ia32_crc32di(wide, load_le<uint64_t>(p));
  c = static_cast<uint32_t>(wide);
  for (; n; n--, p++) c = __builtin_ia32_crc32qi(c, static_cast<uint8_t>(*p));
  return c;
}
#endif

}  // namespace

uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~by_instruction(~crc, bytes.data(), bytes.size());
#endif
  return ~by_table(~crc, bytes.data(), bytes.size());
}

}  // namespace moai
