// Amounts of memory for people, and the sentence of a device that is full.
#pragma once
#include <cstdint>
#include <string>

#include "moai/status.h"

namespace moai::engine {

// "1.50 GiB", "256.00 MiB", "12 bytes".
std::string format_bytes(uint64_t bytes);

// resource_exhausted with the texts that programs look for.
Status out_of_memory_status(uint64_t requested, uint64_t available, uint64_t total);

}  // namespace moai::engine
