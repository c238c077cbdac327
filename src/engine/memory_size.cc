#include "src/engine/memory_size.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "moai/limits.h"

namespace moai::engine {

namespace {

constexpr uint64_t kUnknown = uint64_t{4} << 30;

uint64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  uint64_t kib;
  while (file >> name >> kib) {
    if (name == "MemAvailable:") return kib * 1024;
    std::getline(file, unit);
  }
  return kUnknown;
}

// A file with one number, or "max".
uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  uint64_t bytes;
  return file >> bytes ? bytes : UINT64_MAX;
}

}  // namespace

uint64_t default_memory_bytes() {
  uint64_t bytes = std::min({available_bytes(), number_in("/sys/fs/cgroup/memory.max"),
                             number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
  return std::max(bytes / 5 * 4 / kExtentBytes * kExtentBytes, kExtentBytes);
}

}  // namespace moai::engine
