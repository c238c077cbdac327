#include "src/device/cpu/cpu_info.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <fstream>
#include <string>

namespace moai::cpu {
namespace {

// Cores of the cgroup's quota, rounded up; 0 when there is none.
int quota_cores() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return static_cast<int>((std::stod(quota) + period - 1) / period);
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double q = 0;
  if (v1_quota >> q && v1_period >> period && q > 0 && period > 0)
    return static_cast<int>((q + period - 1) / period);
  return 0;
}

#if defined(__x86_64__)
// Tiles and products of bf16 in them.
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kBf16) != 0 && (d & kTiles) != 0;
}
// The kernel keeps 8 KiB of tiles for a process only once it asked. It refuses what it does not
// know, what it was told to, and a process with a signal stack that has no room for them.
bool may_use_tiles() {
  constexpr int kRequest = 0x1023, kGet = 0x1022;  // ARCH_REQ_XCOMP_PERM, ARCH_GET_XCOMP_PERM
  constexpr int kTileData = 18;
  uint64_t allowed = 0;
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0 &&
         syscall(SYS_arch_prctl, kGet, &allowed) == 0 && (allowed >> kTileData & 1) != 0;
}
#endif

}  // namespace

Tier best_tier() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd"))
    return Tier::v4;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return Tier::v3;
#endif
  return Tier::base;
}

const char* name_of(Tier tier) {
  switch (tier) {
    case Tier::v4: return "AVX-512";
    case Tier::v3: return "AVX2";
    case Tier::base: break;
  }
  return "x86-64";
}

bool has_bf16_unit(Bf16Unit unit) {
#if defined(__x86_64__)
  // AMX rounds its results with the vector instructions.
  const bool has_vectors = best_tier() == Tier::v4 && __builtin_cpu_supports("avx512bf16");
  if (unit == Bf16Unit::avx512) return has_vectors;
  if (unit == Bf16Unit::amx) {
    static const bool kIsThere = has_vectors && has_amx() && may_use_tiles();
    return kIsThere;
  }
#endif
  return unit == Bf16Unit::none;
}

Bf16Unit best_bf16_unit() {
#if defined(__x86_64__)
  if (has_bf16_unit(Bf16Unit::amx)) return Bf16Unit::amx;
  if (!has_amx() && has_bf16_unit(Bf16Unit::avx512)) return Bf16Unit::avx512;
#endif
  return Bf16Unit::none;
}

const char* name_of(Bf16Unit unit) {
  switch (unit) {
    case Bf16Unit::amx: return "AMX";
    case Bf16Unit::avx512: return "AVX512_BF16";
    case Bf16Unit::none: break;
  }
  return "widening";
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (int quota = quota_cores(); quota > 0) cores = std::min(cores, quota);
  return std::max(cores, 1);
}

uint64_t machine_memory_bytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace moai::cpu
