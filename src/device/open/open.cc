#include "src/device/open/open.h"

#include "src/device/cpu/device.h"

namespace moai {

std::unique_ptr<Device> open_device(std::string_view kind, const DeviceOptions& options) {
  if (kind == "cpu") return cpu::make_device({options.threads, options.memory_bytes});
  return nullptr;
}

}  // namespace moai
