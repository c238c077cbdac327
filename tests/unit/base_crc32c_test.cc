#include <catch2/catch.hpp>
#include <cstring>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/crc32c.h"

using namespace moai;

TEST_CASE("crc32c gives the published check values") {
  auto of = [](std::string_view s) {
    return crc32c(0, std::as_bytes(std::span(s.data(), s.size())));
  };
  CHECK(of("") == 0);
  CHECK(of("123456789") == 0xE3069283u);
  std::vector<std::byte> zeros(32);
  CHECK(crc32c(0, zeros) == 0x8A9136AAu);
}

TEST_CASE("crc32c continues over pieces") {
  std::vector<std::byte> v(1000);
  for (size_t i = 0; i < v.size(); i++) v[i] = static_cast<std::byte>(i * 7);
  std::span<const std::byte> s(v);
  for (size_t cut : {0, 1, 7, 8, 9, 500, 999, 1000})
    CHECK(crc32c(crc32c(0, s.first(cut)), s.subspan(cut)) == crc32c(0, s));
}

TEST_CASE("crc32c of long runs is that of their pieces") {
  std::vector<std::byte> v(10'000);
  for (size_t i = 0; i < v.size(); i++) v[i] = static_cast<std::byte>(i * i >> 3);
  for (size_t n : {3071, 3072, 3073, 6144, 9999}) {
    std::span<const std::byte> s(v.data() + 1, n);
    uint32_t by_bytes = 0;
    for (size_t i = 0; i < n; i++) by_bytes = crc32c(by_bytes, s.subspan(i, 1));
    CHECK(crc32c(0, s) == by_bytes);
  }
}

TEST_CASE("integers are little-endian at any alignment") {
  std::byte raw[9] = {};
  store_le<uint32_t>(raw + 1, 0x04030201u);
  CHECK(raw[1] == std::byte{1});
  CHECK(raw[4] == std::byte{4});
  CHECK(load_le<uint32_t>(raw + 1) == 0x04030201u);
  store_le<uint64_t>(raw + 1, 0x1122334455667788u);
  CHECK(load_le<uint64_t>(raw + 1) == 0x1122334455667788u);
}
