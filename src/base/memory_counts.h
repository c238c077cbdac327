// How often the process asked for memory, all threads together.
//
// Counted by the functions that replace malloc and mmap in the moai binary
// (src/engine/allocator.cc). In a program without them, a test or a Python process, nothing counts.
#pragma once
#include <atomic>
#include <cstdint>

namespace moai {

struct MemoryCounts {
  alignas(64) std::atomic<uint64_t> allocations{0};  // malloc and its family, operator new
  std::atomic<uint64_t> mappings{0};                 // mmap, mremap
};
inline constinit MemoryCounts memory_counts;

}  // namespace moai
