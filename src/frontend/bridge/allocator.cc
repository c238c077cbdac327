// Device memory as the client sees it.
#include "src/frontend/bridge/allocator.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "src/frontend/bridge/device.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/reservation.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

// Once this much is alive the server is asked for its size.
constexpr size_t kAskBytes = size_t{256} << 20;

struct Memory {
  std::mutex mutex;
  Reservation addresses;
  std::unordered_map<const void*, frontend::Storage*> by_address;
  MemoryCounts counts;
};
Memory& memory() {
  static auto* m = new Memory();
  return *m;
}

// Throws out of memory at the line that asks for too much, where a program that probes for the
// largest batch looks for it. More than the device holds may be alive as long as it is only
// recorded: computing it shows whether it fits.
void check_fits(uint64_t live, size_t bytes) {
  const uint64_t total = runtime().total_memory(/*may_connect=*/live + bytes >= kAskBytes);
  if (total == 0 || live + bytes <= total) return;
  if (bytes <= total) return runtime().synchronize();
  {
    std::lock_guard lock(memory().mutex);
    memory().counts.out_of_memory++;
  }
  throw_out_of_memory(bytes, total > live ? total - live : 0, total);
}

void free_storage(void* context) {
  auto* storage = static_cast<frontend::Storage*>(context);
  Memory& m = memory();
  if (storage->address) {
    std::lock_guard lock(m.mutex);
    m.addresses.give(storage->address, storage->bytes);
    m.by_address.erase(storage->address);
    storage->address = nullptr;
    m.counts.live_bytes -= storage->bytes;
    m.counts.freed_bytes += storage->bytes;
    m.counts.frees++;
    m.counts.live_count--;
  }
  // In a fork child the recorder's locks may be held by a thread that does not exist there.
  if (!runtime().is_bad_fork()) runtime().recorder().died(storage);
}

frontend::Storage* new_storage(size_t bytes) {
  auto storage = std::make_unique<frontend::Storage>();
  storage->bytes = bytes;
  if (bytes == 0) return storage.release();
  Memory& m = memory();
  std::unique_lock lock(m.mutex);
  if (const uint64_t live = m.counts.live_bytes; live + bytes > runtime().known_memory()) {
    lock.unlock();  // never wait under it
    check_fits(live, bytes);
    lock.lock();
  }
  storage->address = m.addresses.take(bytes);
  if (!storage->address) throw_out_of_memory(bytes, 0, m.counts.live_bytes);
  MemoryCounts& c = m.counts;
  c.live_bytes += bytes;
  c.allocated_bytes += bytes;
  c.allocations++;
  c.live_count++;
  c.peak_bytes = std::max(c.peak_bytes, c.live_bytes);
  c.peak_count = std::max(c.peak_count, c.live_count);
  c.reserved_bytes = std::max(c.reserved_bytes, c.live_bytes);
  c.reserved_peak_bytes = std::max(c.reserved_peak_bytes, c.reserved_bytes);
  m.by_address[storage->address] = storage.get();
  return storage.release();
}

c10::CachingAllocator::Stat stat(uint64_t current, uint64_t peak, uint64_t allocated,
                                 uint64_t freed) {
  c10::CachingAllocator::Stat s;
  s.current = static_cast<int64_t>(current);
  s.peak = static_cast<int64_t>(peak);
  s.allocated = static_cast<int64_t>(allocated);
  s.freed = static_cast<int64_t>(freed);
  return s;
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    runtime().check_usable();
    frontend::Storage* storage = new_storage(bytes);
    return {storage->address, storage, &free_storage, kDevice};
  }
  // Context and data differ, so there is no raw interface.
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, size_t) const override {
    throw_unsupported("clone of a raw allocation", "copy the tensor instead of its storage");
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override { empty_cache(); }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    MemoryCounts c = memory_counts();
    c10::CachingDeviceAllocator::DeviceStats s;
    s.allocated_bytes[0] = s.active_bytes[0] = s.requested_bytes[0] =
        stat(c.live_bytes, c.peak_bytes, c.allocated_bytes, c.freed_bytes);
    s.reserved_bytes[0] = stat(c.reserved_bytes, c.reserved_peak_bytes, c.reserved_peak_bytes,
                               c.reserved_peak_bytes - c.reserved_bytes);
    s.allocation[0] = s.active[0] = stat(c.live_count, c.peak_count, c.allocations, c.frees);
    s.num_ooms = static_cast<int64_t>(c.out_of_memory);
    return s;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override { reset_accumulated_memory(); }
  void resetPeakStats(c10::DeviceIndex) override { reset_peak_memory(); }
};

Allocator* the_allocator() {
  static auto* a = new Allocator();
  return a;
}

}  // namespace

c10::Allocator* device_allocator() { return the_allocator(); }

void register_allocator() {
  c10::SetAllocator(c10::DeviceType::CUDA, the_allocator(), /*priority=*/255);
}

frontend::Storage* storage_of(const c10::DataPtr& data) {
  return data.get_deleter() == &free_storage ? static_cast<frontend::Storage*>(data.get_context())
                                             : nullptr;
}

frontend::Storage* storage_at(const void* address) {
  std::lock_guard lock(memory().mutex);
  auto it = memory().by_address.find(address);
  return it == memory().by_address.end() ? nullptr : it->second;
}

c10::DataPtr successor_of(frontend::Storage* old) {
  auto* storage = new frontend::Storage();
  storage->bytes = old->bytes;
  std::lock_guard lock(memory().mutex);
  storage->address = old->address;
  old->address = nullptr;
  if (storage->address) memory().by_address[storage->address] = storage;
  return {storage->address, storage, &free_storage, kDevice};
}

MemoryCounts memory_counts() {
  std::lock_guard lock(memory().mutex);
  return memory().counts;
}

void reset_peak_memory() {
  std::lock_guard lock(memory().mutex);
  MemoryCounts& c = memory().counts;
  c.peak_bytes = c.live_bytes;
  c.peak_count = c.live_count;
  c.reserved_peak_bytes = c.reserved_bytes;
}

void reset_accumulated_memory() {
  std::lock_guard lock(memory().mutex);
  MemoryCounts& c = memory().counts;
  c.allocations = c.frees = c.allocated_bytes = c.freed_bytes = c.out_of_memory = 0;
}

void empty_cache() {
  std::lock_guard lock(memory().mutex);
  memory().counts.reserved_bytes = memory().counts.live_bytes;
}

}  // namespace moai::bridge
