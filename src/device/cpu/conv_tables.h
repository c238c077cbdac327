// The offsets that the inner loops of convolutions follow.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/device/cpu/conv_ops.h"

namespace moai::cpu {

// Outputs [first, first + count) of a group: one or two vectors, packed `offset` lines of weights
// after the first panel.
struct ConvPanel {
  int64_t first, count, width, offset;
  int vectors;
};
std::vector<ConvPanel> conv_panels(int64_t outputs, int lanes);
// Of all panels.
inline int64_t padded_outputs(const std::vector<ConvPanel>& panels) {
  return panels.empty() ? 0 : panels.back().offset + panels.back().width;
}

// Sums in rows of `length`, cut into groups. The last group of a row may overlap the one before it:
// it computes the same sums again.
class ConvGroups {
 public:
  ConvGroups(int width, int tile) : width_(width), tile_(tile) {}
  void add_row(int64_t x, int64_t x_step, int64_t c, int64_t c_step, int64_t length);
  // Completes the last tile, with the last group again or with one that lies at `spare`.
  void finish(int64_t spare = -1);
  // Groups of a row of this length.
  int64_t count(int64_t length) const { return (length + width_ - 1) / width_; }

  template <class T>
  void run(const ConvBody<T>& body, const ConvTile<T>& tile, int64_t groups) const {
    for (int64_t g = 0; g < groups; g += tile_) body.run(tile, groups_.data() + g);
  }

 private:
  int width_, tile_;
  std::vector<ConvGroup> groups_;
};

// The width of groups for rows of `length` that wastes least.
template <class T>
int conv_width(const ConvBody<T> (&bodies)[kConvWidths], int64_t length, bool may_overlap) {
  // What a sum costs, by width: groups of one load an offset for every element.
  constexpr double kCost[kConvWidths] = {1.15, 1, 1, 1};
  int best = 1;
  double least = 0;
  for (int w = 1; w <= kConvWidths; w++) {
    if (w > length || (!may_overlap && length % w != 0)) continue;
    const double sums = static_cast<double>((length + w - 1) / w * w) / static_cast<double>(length);
    const double cost = kCost[w - 1] * sums * (1 + 1.0 / bodies[w - 1].groups / w);
    if (w == 1 || cost < least) best = w, least = cost;
  }
  return best;
}

}  // namespace moai::cpu
