// Loads, stores, conversions and fills, for one instruction set.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/tile_step.h"
#include "src/device/cpu/tile_tier.h"
#include "src/device/cpu/vector_widen.h"

namespace moai::cpu::MOAI_TIER {
namespace {

// Register -> stored element; the last argument names the type.
template <class R, class S>
MOAI_INLINE S narrow(R x, S) {
  return static_cast<S>(x);
}
MOAI_INLINE Half narrow(float x, Half) { return {to_f16(x)}; }
MOAI_INLINE Brain narrow(float x, Brain) { return {to_bf16(x)}; }

struct Box {
  int64_t rows, len, row, col;
};
// The part of the buffer that a step moves, as rows of elements.
Box box_of(const Step& s, const Tile& t) {
  const TileStride k = t.strides[s.map];
  switch (s.extent) {
    case Extent::uniform: return {1, 1, 0, 0};
    case Extent::row: return {1, t.rows, 0, k.row};
    case Extent::full: break;
  }
  if (k.row == t.len * k.col) return {1, t.rows * t.len, 0, k.col};
  return {t.rows, t.len, k.row, k.col};
}

template <class S, class R>
void load(const Step& s, Tile& t) {
  const Box box = box_of(s, t);
  const S* p = reinterpret_cast<const S*>(t.buffers[s.map]) + t.at[s.map];
  R* d = reinterpret_cast<R*>(t.slots[s.d]);
  if (box.row == 1 && box.col != 1 && box.rows > 1) {  // a transposed tile: read along its rows
    for (int64_t i = 0; i < box.len; i++)
      for (int64_t r = 0; r < box.rows; r++) d[r * box.len + i] = widen(p[r + i * box.col], R());
    return;
  }
  for (int64_t r = 0; r < box.rows; r++, p += box.row, d += box.len) {
    if (box.col == 1) {
#pragma GCC ivdep
      for (int64_t i = 0; i < box.len; i++) d[i] = widen(p[i], R());
    } else if (box.col == 0) {
      const R x = widen(*p, R());
      for (int64_t i = 0; i < box.len; i++) d[i] = x;
    } else {
      for (int64_t i = 0; i < box.len; i++) d[i] = widen(p[i * box.col], R());
    }
  }
}

template <class S, class R>
void store(const Step& s, Tile& t) {
  const Box box = box_of(s, t);
  S* p = reinterpret_cast<S*>(t.buffers[s.map]) + t.at[s.map];
  const R* a = reinterpret_cast<const R*>(t.slots[s.a]);
  if (box.row == 1 && box.col != 1 && box.rows > 1) {
    for (int64_t i = 0; i < box.len; i++)
      for (int64_t r = 0; r < box.rows; r++) p[r + i * box.col] = narrow(a[r * box.len + i], S());
    return;
  }
  for (int64_t r = 0; r < box.rows; r++, p += box.row, a += box.len) {
    if (box.col == 1) {
#pragma GCC ivdep
      for (int64_t i = 0; i < box.len; i++) p[i] = narrow(a[i], S());
    } else {
      for (int64_t i = 0; i < box.len; i++) p[i * box.col] = narrow(a[i], S());
    }
  }
}

template <class A, class R, class F>
MOAI_INLINE void map(const Step& s, Tile& t, F f) {
  const int64_t n = t.count[static_cast<int>(s.extent)];
  const A* a = reinterpret_cast<const A*>(t.slots[s.a]);
  R* d = reinterpret_cast<R*>(t.slots[s.d]);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) d[i] = f(a[i]);
}
// Never in place when the sizes differ; the compiler gives d a slot of its own.
template <class A, class R>
void convert(const Step& s, Tile& t) {
  map<A, R>(s, t, [](A x) { return static_cast<R>(x); });
}
template <class A>
void convert_boolean(const Step& s, Tile& t) {
  map<A, uint8_t>(s, t, [](A x) { return static_cast<uint8_t>(x != 0); });
}
void round_f16(const Step& s, Tile& t) {
  map<float, float>(s, t, [](float x) { return from_f16(to_f16(x)); });
}
void round_bf16(const Step& s, Tile& t) {
  map<float, float>(s, t, [](float x) { return from_bf16(to_bf16(x)); });
}
template <class S>
void round_int(const Step& s, Tile& t) {
  map<int32_t, int32_t>(s, t, [](int32_t x) { return static_cast<int32_t>(static_cast<S>(x)); });
}

template <class T>
void splat(const Step& s, Tile& t) {
  const T x = *reinterpret_cast<const T*>(t.slots[s.a]);
  T* d = reinterpret_cast<T*>(t.slots[s.d]);
  const int64_t n = t.count[static_cast<int>(s.extent)];
  for (int64_t i = 0; i < n; i++) d[i] = x;
}
template <class T>
void expand(const Step& s, Tile& t) {
  const T* a = reinterpret_cast<const T*>(t.slots[s.a]);
  T* d = reinterpret_cast<T*>(t.slots[s.d]);
  for (int64_t r = 0; r < t.rows; r++, d += t.len) {
    const T x = a[r];
    for (int64_t i = 0; i < t.len; i++) d[i] = x;
  }
}
template <class T>
void iota(const Step& s, Tile& t) {
  const TileStride k = t.strides[s.map];
  const int64_t first = t.at[s.map];
  T* d = reinterpret_cast<T*>(t.slots[s.d]);
  const int64_t rows = s.extent == Extent::full ? t.rows : 1;
  const int64_t len = s.extent == Extent::full ? t.len : s.extent == Extent::row ? t.rows : 1;
  const int64_t col = s.extent == Extent::full ? k.col : k.row;
  for (int64_t r = 0; r < rows; r++, d += len)
    for (int64_t i = 0; i < len; i++) d[i] = static_cast<T>(first + r * k.row + i * col);
}

template <class T>
StepFn convert_from(TileType to) {
  switch (to) {
    case TileType::f32: return convert<T, float>;
    case TileType::f64: return convert<T, double>;
    case TileType::i32: return convert<T, int32_t>;
    case TileType::i64: return convert<T, int64_t>;
    case TileType::boolean: break;
  }
  return convert_boolean<T>;
}

}  // namespace

StepFn find_load(DType dtype) {
  switch (dtype) {
    case DType::f64: return load<double, double>;
    case DType::f32: return load<float, float>;
    case DType::f16: return load<Half, float>;
    case DType::bf16: return load<Brain, float>;
    case DType::i64: return load<int64_t, int64_t>;
    case DType::i32: return load<int32_t, int32_t>;
    case DType::i16: return load<int16_t, int32_t>;
    case DType::i8: return load<int8_t, int32_t>;
    case DType::u8: return load<uint8_t, int32_t>;
    case DType::boolean: return load<uint8_t, uint8_t>;
    case DType::c64:
    case DType::c128:
    case DType::c32: break;
  }
  return nullptr;
}

StepFn find_store(DType dtype) {
  switch (dtype) {
    case DType::f64: return store<double, double>;
    case DType::f32: return store<float, float>;
    case DType::f16: return store<Half, float>;
    case DType::bf16: return store<Brain, float>;
    case DType::i64: return store<int64_t, int64_t>;
    case DType::i32: return store<int32_t, int32_t>;
    case DType::i16: return store<int16_t, int32_t>;
    case DType::i8: return store<int8_t, int32_t>;
    case DType::u8: return store<uint8_t, int32_t>;
    case DType::boolean: return store<uint8_t, uint8_t>;
    case DType::c64:
    case DType::c128:
    case DType::c32: break;
  }
  return nullptr;
}

StepFn find_convert(TileType from, TileType to) {
  switch (from) {
    case TileType::f32: return convert_from<float>(to);
    case TileType::f64: return convert_from<double>(to);
    case TileType::i32: return convert_from<int32_t>(to);
    case TileType::i64: return convert_from<int64_t>(to);
    case TileType::boolean: break;
  }
  return convert_from<uint8_t>(to);
}

StepFn find_round(DType dtype) {
  switch (dtype) {
    case DType::f16: return round_f16;
    case DType::bf16: return round_bf16;
    case DType::i16: return round_int<int16_t>;
    case DType::i8: return round_int<int8_t>;
    case DType::u8: return round_int<uint8_t>;
    default: return nullptr;
  }
}

StepFn find_splat(TileType type) {
  return bytes_of(type) == 1   ? splat<uint8_t>
         : bytes_of(type) == 4 ? splat<int32_t>
                               : splat<int64_t>;
}
StepFn find_expand(TileType type) {
  return bytes_of(type) == 1   ? expand<uint8_t>
         : bytes_of(type) == 4 ? expand<int32_t>
                               : expand<int64_t>;
}
StepFn find_iota(TileType type) {
  switch (type) {
    case TileType::f32: return iota<float>;
    case TileType::f64: return iota<double>;
    case TileType::i32: return iota<int32_t>;
    case TileType::i64: return iota<int64_t>;
    case TileType::boolean: break;
  }
  return nullptr;
}

}  // namespace moai::cpu::MOAI_TIER
