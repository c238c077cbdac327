// Offsets for intervals of bytes and time: which bytes of the arena a value has while it lives.
#pragma once
#include <cstdint>
#include <vector>

namespace moai::sched {

struct Lifetime {
  uint64_t bytes = 0;           // a multiple of the alignment
  uint32_t begin = 0, end = 0;  // kernels, both included
};

// Fills one offset per lifetime; no two that overlap in time overlap in bytes. Returns the bytes
// needed.
uint64_t place(const std::vector<Lifetime>& lifetimes, std::vector<uint64_t>& offsets);

}  // namespace moai::sched
