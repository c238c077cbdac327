#include "src/device/cpu/wave.h"

#include <algorithm>
#include <utility>

namespace moai::cpu {
namespace {

constexpr size_t kLaunchesMax = 64;  // bounds the comparisons of a load

}  // namespace

bool share_bytes(const Buffer& a, const Buffer& b) {
  if (a.kind != b.kind || (a.kind == BufferKind::bound && a.index != b.index)) return false;
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

bool WaveBuilder::fits(const Launch& launch, const std::vector<bool>& is_written) const {
  const auto meets = [](const std::vector<Buffer>& others, const Buffer& b) {
    return std::any_of(others.begin(), others.end(),
                       [&](const Buffer& other) { return share_bytes(other, b); });
  };
  for (size_t i = 0; i < launch.buffers.size(); i++) {
    const Buffer& b = launch.buffers[i];
    if (meets(written_, b) || (is_written[i] && meets(read_, b))) return false;
  }
  return true;
}

void WaveBuilder::add(Launch& launch, const Kernel& kernel, const std::vector<bool>& is_written) {
  const int64_t chunks = may_join_ ? kernel.chunks() : 0;
  const bool joins = is_open_ && chunks > 0 && waves_.back().starts.size() <= kLaunchesMax &&
                     fits(launch, is_written);
  if (!joins) {
    waves_.push_back({count_, count_, 0, {}});
    read_.clear(), written_.clear();
    is_open_ = chunks > 0;
    if (is_open_) waves_.back().starts.push_back(0);
  }
  Wave& wave = waves_.back();
  launch.pointers_at = wave.pointers;
  wave.pointers += launch.buffers.size();
  wave.end = ++count_;
  if (!is_open_) return;
  wave.starts.push_back(wave.starts.back() + chunks);
  for (size_t i = 0; i < launch.buffers.size(); i++)
    (is_written[i] ? written_ : read_).push_back(launch.buffers[i]);
}

std::vector<Wave> WaveBuilder::take() {
  for (Wave& wave : waves_)
    if (wave.end - wave.first == 1) wave.starts.clear();
  return std::move(waves_);
}

}  // namespace moai::cpu
