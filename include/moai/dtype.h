// Element types as they are stored and as they cross the wire. Values are stable: append only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace moai {

enum class DType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  c64,
  c128,
  c32,
};
inline constexpr int kDTypeCount = 13;

constexpr size_t size_of(DType t) {  // bytes per element
  constexpr size_t k[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1, 8, 16, 4};
  return k[static_cast<size_t>(t)];
}
constexpr const char* name_of(DType t) {
  constexpr const char* k[] = {"f64", "f32", "f16",  "bf16", "i64",  "i32", "i16",
                               "i8",  "u8",  "bool", "c64",  "c128", "c32"};
  return k[static_cast<size_t>(t)];
}
constexpr bool is_float(DType t) { return t <= DType::bf16; }
constexpr bool is_integer(DType t) {  // boolean is not an integer
  return t >= DType::i64 && t <= DType::u8;
}
constexpr bool is_complex(DType t) { return t >= DType::c64 && t <= DType::c32; }
constexpr uint32_t mask_of(DType t) { return 1u << static_cast<unsigned>(t); }

}  // namespace moai
