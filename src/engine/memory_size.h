// How much memory a cpu device may have.
#pragma once
#include <cstdint>

namespace moai::engine {

// 80 % of the smaller of available memory and the cgroup's limit.
uint64_t default_memory_bytes();

}  // namespace moai::engine
