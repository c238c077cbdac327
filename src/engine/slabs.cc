#include "src/engine/slabs.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <string>

#include "moai/limits.h"

namespace moai::engine {

namespace {
constexpr uint64_t kSlabBytesMin = 64 << 10;
constexpr size_t kSlabsFirst = 2, kSlabsMax = 4;
constexpr ptrdiff_t kLargeMax = 2;
constexpr uint64_t kPageBytes = 4096;

constexpr uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }
}  // namespace

Slabs::Slabs(Line& line, uint64_t memory_bytes)
    : line_(line),
      slab_bytes_(round_up(std::clamp<uint64_t>(memory_bytes / 64, kSlabBytesMin, kSlabBytesMax),
                           kPageBytes)) {}

Slabs::~Slabs() {
  for (Slab& slab : slabs_) line_.connection().free_region(slab.region);
}

Status Slabs::grant(uint64_t bytes) {
  MOAI_ASSIGN_OR_RETURN(Region region, line_.connection().make_region(bytes));
  StatusOr<Window> window = line_.connection().grant(region);
  if (!window.ok()) {
    line_.connection().free_region(region);
    return window.status();
  }
  slabs_.push_back({region, *window});
  granted_bytes_ += bytes;
  return line_.send(wire::Kind::window_grant, wire::WindowGrant{window->handle, bytes});
}

Status Slabs::start() {
  for (; small_count_ < kSlabsFirst; small_count_++) MOAI_RETURN_IF_ERROR(grant(slab_bytes_));
  return ok_status();
}

Status Slabs::want(uint64_t bytes) {
  if (bytes > kWindowBytesMax || granted_bytes_ + bytes > 4 * kWindowBytesMax)
    return {StatusCode::resource_exhausted, "[upload] a window of " + std::to_string(bytes) +
                                                " bytes is more than one session may have"};
  if (bytes > slab_bytes_) {
    // Everything sent before was moved out already, so windows of that size are free again: two
    // overlap.
    auto fits = [&](const Slab& slab) { return slab.region.bytes >= bytes; };
    if (std::count_if(slabs_.begin(), slabs_.end(), fits) >= kLargeMax) return ok_status();
    MOAI_RETURN_IF_ERROR(grant(std::bit_ceil(bytes)));
  } else if (small_count_ < kSlabsMax) {
    small_count_++;
    MOAI_RETURN_IF_ERROR(grant(slab_bytes_));
  } else {
    return ok_status();  // WindowFree brings room
  }
  return line_.flush();
}

StatusOr<std::span<const std::byte>> Slabs::find(const wire::Upload& upload) const {
  if (upload.window == 0) {
    if (upload.data.size() != upload.bytes)
      return invalid("[upload] " + std::to_string(upload.bytes) + " bytes were promised and " +
                     std::to_string(upload.data.size()) + " came");
    return std::span(upload.data);
  }
  for (const Slab& slab : slabs_) {
    if (slab.window.handle != upload.window) continue;
    if (upload.offset > slab.region.bytes || upload.bytes > slab.region.bytes - upload.offset)
      return invalid("[upload] the bytes reach outside their window");
    return std::span<const std::byte>(slab.region.data + upload.offset, upload.bytes);
  }
  return invalid("[upload] its window does not exist");
}

Status Slabs::release(const wire::Upload& upload) {
  if (upload.window == 0) return ok_status();
  MOAI_RETURN_IF_ERROR(line_.send(wire::Kind::window_free,
                                  wire::WindowFree{upload.window, upload.offset, upload.bytes}));
  bool is_half_used = upload.bytes <= slab_bytes_ && upload.offset + upload.bytes > slab_bytes_ / 2;
  if (!is_half_used || small_count_ >= kSlabsMax) return ok_status();
  small_count_++;
  return grant(slab_bytes_);
}

}  // namespace moai::engine
