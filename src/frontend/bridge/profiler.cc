// What PyTorch's profiler asks of a CUDA device: the host's clock, since work is recorded, not run.
// `moai run --trace` shows what the device does.
#include <torch/csrc/profiler/stubs/base.h>

#include "src/base/clock.h"
#include "src/frontend/bridge/kernels.h"

namespace moai::bridge {
namespace {

using torch::profiler::impl::ProfilerVoidEventStub;

struct Stubs final : torch::profiler::impl::ProfilerStubs {
  void record(c10::DeviceIndex* device, ProfilerVoidEventStub* event,
              int64_t* cpu_ns) const override {
    const auto now = static_cast<int64_t>(now_ns());
    if (device != nullptr) *device = 0;
    if (cpu_ns != nullptr) *cpu_ns = now;
    if (event != nullptr) *event = std::make_shared<int64_t>(now);
  }
  float elapsed(const ProfilerVoidEventStub* begin,
                const ProfilerVoidEventStub* end) const override {  // microseconds
    const auto* from = static_cast<const int64_t*>(begin->get());
    const auto* to = static_cast<const int64_t*>(end->get());
    return from && to ? static_cast<float>(*to - *from) * 1e-3F : 0.0F;
  }
  void mark(const char*) const override {}
  void rangePush(const char*) const override {}
  void rangePop() const override {}
  bool enabled() const override { return true; }
  void onEachDevice(std::function<void(int)> op) const override { op(0); }
  void synchronize() const override {}
};

}  // namespace

// NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): PyTorch keeps it to the end.
void register_profiler() { torch::profiler::impl::registerCUDAMethods(new Stubs()); }

}  // namespace moai::bridge
