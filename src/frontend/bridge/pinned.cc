// Pinned host memory: blocks cached by size, and a table that answers is_pinned() for any inner
// address.
#include "src/frontend/bridge/pinned.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace moai::bridge {
namespace {

constexpr size_t kAlign = 4096;
constexpr size_t kCacheBytesMax = size_t{256} << 20;

struct Pool {
  std::mutex mutex;
  std::map<const char*, size_t> blocks;  // in use: begin -> bytes
  std::map<size_t, std::vector<char*>> idle;
  size_t idle_bytes = 0;
};
Pool& pool() {
  static auto* p = new Pool();
  return *p;
}

void free_pinned(void* p) {
  Pool& pl = pool();
  std::lock_guard lock(pl.mutex);
  auto it = pl.blocks.find(static_cast<char*>(p));
  if (it == pl.blocks.end()) return;
  size_t bytes = it->second;
  pl.blocks.erase(it);
  if (pl.idle_bytes + bytes > kCacheBytesMax) return std::free(p);
  pl.idle[bytes].push_back(static_cast<char*>(p));
  pl.idle_bytes += bytes;
}

class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &free_pinned, c10::Device(c10::DeviceType::CPU)};
    size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
    Pool& pl = pool();
    std::lock_guard lock(pl.mutex);
    char* p = nullptr;
    if (auto it = pl.idle.find(size); it != pl.idle.end() && !it->second.empty()) {
      p = it->second.back();
      it->second.pop_back();
      pl.idle_bytes -= size;
    } else {
      p = static_cast<char*>(std::aligned_alloc(kAlign, size));
      TORCH_CHECK(p, "pinned memory: the host has no ", size, " bytes left");
    }
    pl.blocks[p] = size;
    return {p, p, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    std::memcpy(target, source, bytes);
  }
};

}  // namespace

c10::Allocator* pinned_allocator() {
  static auto* a = new PinnedAllocator();
  return a;
}

bool is_pinned(const void* p) {
  Pool& pl = pool();
  std::lock_guard lock(pl.mutex);
  const char* c = static_cast<const char*>(p);
  auto it = pl.blocks.upper_bound(c);
  if (it == pl.blocks.begin()) return false;
  --it;
  return c < it->first + it->second;
}

}  // namespace moai::bridge
