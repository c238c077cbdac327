// Amounts of memory for people, and the sentence of a device that is full.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "moai/status.h"

namespace moai {

// "1.50 GiB", "256.00 MiB", "12 bytes".
std::string format_bytes(uint64_t bytes);

// "256MiB", "1.5 GiB", "4096": the other way round.
StatusOr<uint64_t> parse_bytes(std::string_view text);

// resource_exhausted with the texts that programs look for.
Status out_of_memory_status(uint64_t requested, uint64_t available, uint64_t total);

}  // namespace moai
