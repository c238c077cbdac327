// Opens a device by name: the one place that knows every implementation.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "moai/device.h"

namespace moai {

struct DeviceOptions {
  int threads = 0;            // 0: the cores this process may use
  uint64_t memory_bytes = 0;  // 0: what the machine has
};

// Returns nullptr when no device is called `kind`.
std::unique_ptr<Device> open_device(std::string_view kind, const DeviceOptions& options = {});

}  // namespace moai
