// CRC-32C (Castagnoli), with the processor's instruction where there is one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace moai {

// Continues `crc` (0 to begin) over `bytes`: crc32c(crc32c(0, a), b) is the checksum of a then b.
uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace moai
