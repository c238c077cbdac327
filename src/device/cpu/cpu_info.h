// What this machine offers: instruction set tier, cores, memory.
#pragma once
#include <cstdint>

namespace moai::cpu {

enum class Tier : uint8_t { base, v3, v4 };  // x86-64, AVX2 + FMA, AVX-512

Tier best_tier();
const char* name_of(Tier tier);

// What multiplies bf16: the tier's own f32 after widening, or a unit of the processor, in the order
// of preference.
enum class Bf16Unit : uint8_t { none, avx512, amx };  // AVX512_BF16, AMX

bool has_bf16_unit(Bf16Unit unit);
// AMX where the system lets this process use it. AVX512_BF16 where the processor has no AMX: one
// with both makes the vector products so slowly that widening is faster.
Bf16Unit best_bf16_unit();
const char* name_of(Bf16Unit unit);
int usable_cores();  // cpuset, then the cgroup's quota
uint64_t machine_memory_bytes();

}  // namespace moai::cpu
