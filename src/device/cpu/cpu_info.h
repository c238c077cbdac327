// What this machine offers: instruction set tier, cores, memory.
#pragma once
#include <cstdint>

namespace moai::cpu {

enum class Tier : uint8_t { base, v3, v4 };  // x86-64, AVX2 + FMA, AVX-512

Tier best_tier();
const char* name_of(Tier tier);
bool has_bf16_dot();  // AVX512_BF16
int usable_cores();   // cpuset, then the cgroup's quota
uint64_t machine_memory_bytes();

}  // namespace moai::cpu
