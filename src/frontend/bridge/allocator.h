// Device memory as the client sees it: addresses that identify, and a count of live bytes.
#pragma once
#include <c10/core/Allocator.h>

#include <cstdint>

#include "src/frontend/capture.h"

namespace moai::bridge {

struct MemoryCounts {
  uint64_t live_bytes = 0, peak_bytes = 0;  // logical bytes, as requested
  uint64_t reserved_bytes = 0, reserved_peak_bytes = 0;
  uint64_t allocations = 0, frees = 0, live_count = 0, peak_count = 0, out_of_memory = 0;
  uint64_t allocated_bytes = 0, freed_bytes = 0;  // since the process began
};

// A c10::DeviceAllocator; its DataPtrs have a frontend::Storage as context.
c10::Allocator* device_allocator();
void register_allocator();

// The client storage behind a DataPtr of ours, else null.
frontend::Storage* storage_of(const c10::DataPtr& data);
// The client storage that begins at an address, else null: PyTorch wraps the bare pointer when it
// pickles.
frontend::Storage* storage_at(const void* address);
// A fresh storage that takes over the address of `old`, which stays behind without one.
c10::DataPtr successor_of(frontend::Storage* old);

MemoryCounts memory_counts();
void reset_peak_memory();
void reset_accumulated_memory();
// The cache of the client holds addresses only: what counts as reserved shrinks to what lives.
void empty_cache();

}  // namespace moai::bridge
