// What PyTorch's CPU code asks about the device. PyTorch builds its hooks object once, while it is
// imported, so a class registered later is ignored: the existing object gets our vtable instead.
// Neither class has data.
#include "src/frontend/bridge/hooks.h"

#include <ATen/detail/CUDAHooksInterface.h>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/device.h"
#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/pinned.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

struct Hooks final : at::CUDAHooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasCUDART() const override { return true; }
  bool hasCuDNN() const override { return false; }
  bool hasMAGMA() const override { return false; }
  long versionCUDART() const override { return 12080; }
  std::string showConfig() const override { return "moai " MOAI_VERSION; }
  bool hasPrimaryContext(c10::DeviceIndex) const override {
    return has_runtime() && runtime().session().is_connected();
  }
  void init() const override {}
  int getNumGPUs() const override { return 1; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::Device getDeviceFromPtr(void*) const override { return kDevice; }
  bool isPinnedPtr(const void* p) const override { return is_pinned(p); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return pinned_allocator(); }
  c10::Allocator* getCUDADeviceAllocator() const override { return device_allocator(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return default_generator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return new_generator(); }
  void deviceSynchronize(c10::DeviceIndex) const override { runtime().synchronize(); }
};
static_assert(sizeof(Hooks) == sizeof(at::CUDAHooksInterface) && sizeof(Hooks) == sizeof(void*));

}  // namespace

void install_hooks() {
  static auto* ours = new Hooks();
  auto* theirs = const_cast<at::CUDAHooksInterface*>(&at::detail::getCUDAHooks());
  *reinterpret_cast<void**>(theirs) = *reinterpret_cast<void**>(ours);
  TORCH_CHECK(at::detail::getCUDAHooks().hasCUDA() && at::detail::getCUDAHooks().deviceCount() == 1,
              "moai: this PyTorch ignores the device hooks; use a supported version");
}

}  // namespace moai::bridge
