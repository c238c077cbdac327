// Little-endian integers in raw memory, of any alignment. Callers check bounds.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace moai {

template <class T>
T load_le(const std::byte* from) {
  static_assert(std::is_unsigned_v<T>);
  T value;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&value, from, sizeof value);
  } else {
    value = 0;
    for (size_t i = 0; i < sizeof value; i++)
      value |= static_cast<T>(static_cast<T>(from[i]) << (8 * i));
  }
  return value;
}

template <class T>
void store_le(std::byte* to, T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(to, &value, sizeof value);
  } else {
    for (size_t i = 0; i < sizeof value; i++) to[i] = static_cast<std::byte>(value >> (8 * i));
  }
}

}  // namespace moai
