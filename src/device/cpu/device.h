// The CPU as a device: blocks from BlockCache, kernels on a thread pool.
#pragma once
#include <memory>

#include "moai/device.h"
#include "src/device/cpu/cpu_info.h"

namespace moai::cpu {

struct CpuOptions {
  int threads = 0;            // 0: the cores this process may use
  uint64_t memory_bytes = 0;  // 0: what the machine has
};

std::unique_ptr<Device> make_device(const CpuOptions& options);
// For tests: with the bodies of a lower instruction set than the machine has, and with another way
// to multiply bf16 than its best one. What the machine does not have becomes the next lower one.
std::unique_ptr<Device> make_device(const CpuOptions& options, Tier tier);
std::unique_ptr<Device> make_device(const CpuOptions& options, Tier tier, Bf16Unit unit);

}  // namespace moai::cpu
