// Reductions of rows and columns, for one instruction set. The order of a sum depends on the shape
// alone: see moai/tile_program.h.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/tile_step.h"
#include "src/device/cpu/tile_tier.h"

namespace moai::cpu::MOAI_TIER {
namespace {

constexpr int kLanes = 64;

template <class T>
struct Limits {
  static constexpr T lowest = static_cast<T>(T(1) << (sizeof(T) * 8 - 1));
  static constexpr T highest = static_cast<T>(~lowest);
};
template <>
struct Limits<float> {
  static constexpr float lowest = -__builtin_inff(), highest = __builtin_inff();
};
template <>
struct Limits<double> {
  static constexpr double lowest = -__builtin_inf(), highest = __builtin_inf();
};

struct Sum {
  template <class T>
  static constexpr T first = T(0);
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return static_cast<T>(a + b);
  }
};
struct Prod {
  template <class T>
  static constexpr T first = T(1);
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return static_cast<T>(a * b);
  }
};
struct Max {
  template <class T>
  static constexpr T first = Limits<T>::lowest;
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return maximum(a, b);
  }
};
struct Min {
  template <class T>
  static constexpr T first = Limits<T>::highest;
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return minimum(a, b);
  }
};
struct Any {
  template <class T>
  static constexpr T first = T(0);
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct All {
  template <class T>
  static constexpr T first = T(1);
  template <class T>
  MOAI_INLINE T apply(T a, T b) {
    return static_cast<T>(a & b);
  }
};

template <class K, class T>
MOAI_INLINE void add_to_lanes(const T* a, int64_t len, T* lanes) {
  int64_t i = 0;
  for (; i + kLanes <= len; i += kLanes)
    for (int q = 0; q < kLanes; q++) lanes[q] = K::template apply<T>(lanes[q], a[i + q]);
  for (int q = 0; i < len; i++, q++) lanes[q] = K::template apply<T>(lanes[q], a[i]);
}
template <class K, class T>
MOAI_INLINE T fold_lanes(T* lanes) {
  for (int h = kLanes / 2; h >= 1; h /= 2)
    for (int q = 0; q < h; q++) lanes[q] = K::template apply<T>(lanes[q], lanes[q + h]);
  return lanes[0];
}

// A row of at most 64: lanes that got nothing hold the identity and need not be folded.
template <class K, class T>
MOAI_INLINE T fold_short(const T* a, int64_t len) {
  T lanes[kLanes / 2 + 1] = {};
  int h = kLanes / 2;
  while (h >= len && h > 1) h /= 2;
  for (int q = 0; q < h; q++) lanes[q] = q < len ? a[q] : K::template first<T>;
  for (int64_t q = h; q < len; q++) lanes[q - h] = K::template apply<T>(lanes[q - h], a[q]);
  for (h /= 2; h >= 1; h /= 2)
    for (int q = 0; q < h; q++) lanes[q] = K::template apply<T>(lanes[q], lanes[q + h]);
  return lanes[0];
}

// d: one value a row. c: lanes kept while a long row goes by in parts.
template <class K, class T>
void reduce_row(const Step& s, Tile& t) {
  const T* a = reinterpret_cast<const T*>(t.slots[s.a]);
  T* d = reinterpret_cast<T*>(t.slots[s.d]);
  const bool is_part = t.len != t.reduced_size;
  T* kept = reinterpret_cast<T*>(t.slots[s.c]);
  if (!is_part && t.len <= kLanes) {
    for (int64_t r = 0; r < t.rows; r++) d[r] = fold_short<K, T>(a + r * t.len, t.len);
    return;
  }
  for (int64_t r = 0; r < t.rows; r++, a += t.len) {
    alignas(64) T lanes[kLanes];
    for (int q = 0; q < kLanes; q++)
      lanes[q] = is_part && t.reduced_at > 0 ? kept[q] : K::template first<T>;
    add_to_lanes<K, T>(a, t.len, lanes);
    if (t.reduced_at + t.len >= t.reduced_size) {
      d[r] = fold_lanes<K, T>(lanes);
    } else {
      for (int q = 0; q < kLanes; q++) kept[q] = lanes[q];
    }
  }
}

// d: the total of each column, c: of the current block of rows.
template <class K, class T>
void reduce_column(const Step& s, Tile& t) {
  const T* a = reinterpret_cast<const T*>(t.slots[s.a]);
  T* total = reinterpret_cast<T*>(t.slots[s.d]);
  T* block = reinterpret_cast<T*>(t.slots[s.c]);
  const int64_t n = t.len;
  if (t.reduced_size == 0)
    for (int64_t i = 0; i < n; i++) total[i] = K::template first<T>;
  for (int64_t r = 0; r < t.rows; r++, a += n) {
    const int64_t row = t.reduced_at + r;
    if (row == 0)
      for (int64_t i = 0; i < n; i++) total[i] = K::template first<T>;
    if (row % kColumnBlock == 0) {
      for (int64_t i = 0; i < n; i++) block[i] = K::template first<T>;
    }
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) block[i] = K::template apply<T>(block[i], a[i]);
    if (row % kColumnBlock == kColumnBlock - 1 || row == t.reduced_size - 1) {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; i++) total[i] = K::template apply<T>(total[i], block[i]);
    }
  }
}

template <class K, bool kColumn, class T>
constexpr StepFn body() {
  if constexpr (kColumn)
    return reduce_column<K, T>;
  else
    return reduce_row<K, T>;
}
template <class K, bool kColumn>
StepFn of_number(TileType type) {
  switch (type) {
    case TileType::f32: return body<K, kColumn, float>();
    case TileType::f64: return body<K, kColumn, double>();
    case TileType::i32: return body<K, kColumn, int32_t>();
    case TileType::i64: return body<K, kColumn, int64_t>();
    case TileType::boolean: break;
  }
  return nullptr;
}
template <bool kColumn>
StepFn find(ReduceKind kind, TileType type) {
  const bool is_bool = type == TileType::boolean;
  switch (kind) {
    case ReduceKind::sum: return of_number<Sum, kColumn>(type);
    case ReduceKind::prod: return of_number<Prod, kColumn>(type);
    case ReduceKind::max:
      return is_bool ? body<Any, kColumn, uint8_t>() : of_number<Max, kColumn>(type);
    case ReduceKind::min:
      return is_bool ? body<All, kColumn, uint8_t>() : of_number<Min, kColumn>(type);
    case ReduceKind::any: return is_bool ? body<Any, kColumn, uint8_t>() : nullptr;
    case ReduceKind::all: return is_bool ? body<All, kColumn, uint8_t>() : nullptr;
    case ReduceKind::logsumexp: break;
  }
  return nullptr;
}

}  // namespace

StepFn find_reduce_row(ReduceKind kind, TileType type) { return find<false>(kind, type); }
StepFn find_reduce_column(ReduceKind kind, TileType type) { return find<true>(kind, type); }

}  // namespace moai::cpu::MOAI_TIER
