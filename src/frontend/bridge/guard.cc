// Current device, streams and events.
#include "src/frontend/bridge/guard.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <atomic>

#include "src/frontend/bridge/device.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

thread_local c10::StreamId t_stream = 0;
std::atomic<c10::StreamId> g_next_stream{1};
std::atomic<uint64_t> g_next_event{1};

struct Event {
  uint64_t id = 0;  // 0: no time is asked of it
};

c10::Stream stream_of(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, kDevice, id); }

void check_ordinal(c10::Device d) {
  TORCH_CHECK(!d.has_index() || d.index() == 0, "CUDA error: invalid device ordinal");
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device d) const override {
    check_ordinal(d);
    return kDevice;
  }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device d) const override { check_ordinal(d); }
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::DeviceCapability getDeviceCapability(c10::Device) const override { return {}; }

  c10::Stream getStream(c10::Device) const noexcept override { return stream_of(t_stream); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream_of(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
    return stream_of(g_next_stream++);
  }
  c10::Stream getNewStream(c10::Device, int) const override { return stream_of(g_next_stream++); }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override {
    c10::StreamId old = t_stream;
    t_stream = s.id();
    return stream_of(old);
  }
  void* getStreamNativeHandle(const c10::Stream s) const override {
    return reinterpret_cast<void*>(s.id());
  }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { runtime().synchronize(); }
  void synchronizeDevice(const c10::DeviceIndex) const override { runtime().synchronize(); }

  void record(void** event, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag flag) const override {
    if (!*event) *event = new Event();
    if (flag != c10::EventFlag::BACKEND_DEFAULT) return;
    auto* e = static_cast<Event*>(*event);
    e->id = g_next_event++;
    runtime().cut();
    throw_if_error(runtime().session().record_event(e->id));
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void* event) const override {
    auto* e = static_cast<Event*>(event);
    return !e || e->id == 0 ||
           runtime().session().event_time(e->id).status().code() != StatusCode::again;
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  void synchronizeEvent(void*) const override { runtime().synchronize(); }
  double elapsedTime(void* a, void* b, const c10::DeviceIndex) const override {
    return elapsed_ms(a, b);
  }
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

uint64_t time_of(void* event) {
  TORCH_CHECK(event && static_cast<Event*>(event)->id,
              "Both events must be recorded, and created with enable_timing=True, before "
              "calculating elapsed time.");
  StatusOr<uint64_t> ns = runtime().session().event_time(static_cast<Event*>(event)->id);
  TORCH_CHECK(ns.status().code() != StatusCode::again, "CUDA error: device not ready");
  throw_if_error(ns.status());
  return *ns;
}

}  // namespace

void register_guard() { c10::impl::DeviceGuardImplRegistrar(c10::DeviceType::CUDA, new Guard()); }

double elapsed_ms(void* first, void* second) {
  uint64_t a = time_of(first), b = time_of(second);
  return static_cast<double>(static_cast<int64_t>(b - a)) * 1e-6;
}

}  // namespace moai::bridge
