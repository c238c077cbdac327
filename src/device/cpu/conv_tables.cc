#include "src/device/cpu/conv_tables.h"

namespace moai::cpu {

std::vector<ConvPanel> conv_panels(int64_t outputs, int lanes) {
  std::vector<ConvPanel> out;
  for (int64_t first = 0; first < outputs;) {
    const int vectors = outputs - first > lanes ? 2 : 1;
    const int64_t width = vectors * lanes;
    out.push_back({first, std::min(width, outputs - first), width, first, vectors});
    first += width;
  }
  return out;
}

void ConvGroups::add_row(int64_t x, int64_t x_step, int64_t c, int64_t c_step, int64_t length) {
  for (int64_t i = 0; i < length; i += width_) {
    const int64_t at = std::max<int64_t>(0, std::min(i, length - width_));
    groups_.push_back(
        {static_cast<int32_t>(x + at * x_step), static_cast<int32_t>(c + at * c_step)});
  }
}
void ConvGroups::finish(int64_t spare) {
  while (!groups_.empty() && groups_.size() % static_cast<size_t>(tile_) != 0) {
    ConvGroup g = groups_.back();
    if (spare >= 0) g.c = static_cast<int32_t>(spare);
    groups_.push_back(g);
  }
}

}  // namespace moai::cpu
