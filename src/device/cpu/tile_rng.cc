// Random numbers of a tile, for one instruction set: the words of moai/philox.h, sixteen counters
// at a time.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/tile_step.h"
#include "src/device/cpu/tile_tier.h"
#include "src/device/cpu/vector_random.h"

namespace moai::cpu::MOAI_TIER {
namespace {

// Words per element: 1 for f32, 2 for f64 and bits.
template <class T>
constexpr int words_of = sizeof(T) == 4 ? 1 : 2;

// bits: significant bits that are kept, 24 for f32.
MOAI_INLINE float make(const uint32_t* w, int bits, float) {
  uint32_t m = w[0] >> 8;
  if (bits < 24 && m != 0) {
    const int extra = 32 - __builtin_clz(m) - bits;
    if (extra > 0) m = m >> extra << extra;
  }
  return static_cast<float>(static_cast<int32_t>(m)) * 0x1p-24f;
}
MOAI_INLINE double make(const uint32_t* w, int, double) {
  return static_cast<double>(static_cast<int64_t>((uint64_t{w[0]} << 32 | w[1]) >> 11)) * 0x1p-53;
}
MOAI_INLINE int64_t make(const uint32_t* w, int, int64_t) {
  return static_cast<int64_t>(uint64_t{w[1]} << 32 | w[0]);
}

// Elements index, index + 1, ... of the random tensor.
template <class T>
void fill_run(uint64_t seed, uint64_t block0, uint64_t index, int bits, T* d, int64_t n) {
  constexpr int kPer = words_of<T>;
  alignas(64) uint32_t words[kRandomWords];
  uint64_t word = index * kPer;
  for (int64_t i = 0; i < n;) {
    random_words(seed, block0 + word / 4, words);
    const int skip = static_cast<int>(word % 4);
    const int64_t fit = (kRandomWords - skip) / kPer;
    const int64_t m = n - i < fit ? n - i : fit;
    if (kPer == 1 && bits == 24) {
      for (int64_t q = 0; q < m; q++) d[i + q] = make(words + skip + q, 24, T());
    } else {
      for (int64_t q = 0; q < m; q++) d[i + q] = make(words + skip + kPer * q, bits, T());
    }
    i += m;
    word += static_cast<uint64_t>(m * kPer);
  }
}

template <class T>
void rng(const Step& s, Tile& t) {
  const uint64_t seed = static_cast<uint64_t>(*reinterpret_cast<const int64_t*>(t.slots[s.a]));
  const uint64_t block0 =
      static_cast<uint64_t>(*reinterpret_cast<const int64_t*>(t.slots[s.b])) / 4;
  const int bits = static_cast<int>(s.i);
  const TileStride k = t.strides[s.map];
  int64_t rows = s.extent == Extent::full ? t.rows : 1, row = k.row;
  int64_t len = s.extent == Extent::full ? t.len : s.extent == Extent::row ? t.rows : 1;
  const int64_t col = s.extent == Extent::full ? k.col : k.row;
  if (row == len * col) len *= rows, rows = 1;
  T* d = reinterpret_cast<T*>(t.slots[s.d]);
  for (int64_t r = 0; r < rows; r++, d += len) {
    const int64_t first = t.at[s.map] + r * row;
    if (col == 1) {
      fill_run<T>(seed, block0, static_cast<uint64_t>(first), bits, d, len);
    } else {
      for (int64_t i = 0; i < len; i++)
        fill_run<T>(seed, block0, static_cast<uint64_t>(first + i * col), bits, d + i, 1);
    }
  }
}

}  // namespace

StepFn find_rng(TileType type) {
  switch (type) {
    case TileType::f32: return rng<float>;
    case TileType::f64: return rng<double>;
    case TileType::i64: return rng<int64_t>;
    default: return nullptr;
  }
}

}  // namespace moai::cpu::MOAI_TIER
