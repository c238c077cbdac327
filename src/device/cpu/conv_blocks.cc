#include "src/device/cpu/conv_blocks.h"

#include <algorithm>
#include <numeric>

namespace moai::cpu {
namespace {

int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

}  // namespace

ConvAxis::ConvAxis(const ConvGeometry& g, int d) {
  const int64_t common = std::gcd(g.stride[d], g.lhs_dilation[d]);
  period = g.lhs_dilation[d] / common, step = g.stride[d] / common;
  phases.resize(static_cast<size_t>(period));
  bool is_first = true;
  for (int64_t r = 0; r < std::min(period, g.out[d]); r++)
    for (int64_t t = 0; t < g.window[d]; t++) {
      const int64_t at = r * g.stride[d] + t * g.dilation[d] - g.pad[d];
      if (at % g.lhs_dilation[d] != 0) continue;
      phases[static_cast<size_t>(r)].push_back({t, at / g.lhs_dilation[d]});
      low = is_first ? at / g.lhs_dilation[d] : std::min(low, at / g.lhs_dilation[d]);
      high = is_first ? at / g.lhs_dilation[d] : std::max(high, at / g.lhs_dilation[d]);
      is_first = false;
    }
}

ConvBlocks::ConvBlocks(const ConvGeometry& g, int64_t positions) : g_(g) {
  for (int d = 0; d < 3; d++) axes_[d] = ConvAxis(g, d);
  cut_ = g.out[0] > 1 ? 0 : g.out[1] > 1 ? 1 : 2;
  for (int d = cut_ + 1; d < 3; d++) inner_ *= g.out[d];
  length_ = g.out[cut_];
  if (length_ * inner_ <= positions) {
    images_ = std::clamp<int64_t>(positions / std::max<int64_t>(1, length_ * inner_), 1,
                                  std::max<int64_t>(1, g.batch));
  } else {  // parts of equal lengths, each from the first phase on
    parts_ = parts_of(length_, std::max<int64_t>(1, positions / inner_));
    length_ = parts_of(parts_of(length_, parts_), axes_[cut_].period) * axes_[cut_].period;
    parts_ = parts_of(g.out[cut_], length_);
  }
  images_count_ = parts_of(g.batch, images_);
  for (int d = 0; d < 3; d++) {
    const int64_t n = parts_of(d == cut_ ? length_ : g.out[d], axes_[d].period);
    size_[d] = axes_[d].high - axes_[d].low + (std::max<int64_t>(n, 1) - 1) * axes_[d].step + 1;
  }
}

ConvBlock ConvBlocks::block(int64_t i) const {
  const int64_t image = i / parts_ * images_, first = i % parts_ * length_;
  return {image, std::min(images_, g_.batch - image), first,
          std::min(length_, g_.out[cut_] - first)};
}

ConvImage ConvBlocks::image(DType dtype, const ConvBlock& b, int64_t channels) const {
  ConvImage out = {dtype, channels, g_.x_channel, {}, {}, {}, {}};
  for (int d = 0; d < 3; d++) {
    out.in[d] = g_.in[d], out.x_step[d] = g_.x_step[d], out.size[d] = size_[d];
    out.low[d] = axes_[d].low;
    if (d == cut_) out.low[d] += b.first / axes_[d].period * axes_[d].step;
  }
  return out;
}

std::vector<ConvPhase> ConvBlocks::phases() const {
  std::vector<ConvPhase> out;
  ConvPhase p;
  for (p.index[0] = 0; p.index[0] < axes_[0].period; p.index[0]++)
    for (p.index[1] = 0; p.index[1] < axes_[1].period; p.index[1]++)
      for (p.index[2] = 0; p.index[2] < axes_[2].period; p.index[2]++) {
        const ConvBlock all = full_block();
        if (row_count(p, all) > 0 && row_length(p, all) > 0) out.push_back(p);
      }
  return out;
}

std::vector<ConvBlocks::Tap> ConvBlocks::taps(const ConvPhase& p) const {
  std::vector<Tap> out;
  const auto of = [&](int d) -> const std::vector<ConvAxis::Tap>& {
    return axes_[d].phases[static_cast<size_t>(p.index[d])];
  };
  for (const ConvAxis::Tap& a : of(0))
    for (const ConvAxis::Tap& b : of(1))
      for (const ConvAxis::Tap& c : of(2)) {
        const int64_t tap = (a.tap * g_.window[1] + b.tap) * g_.window[2] + c.tap;
        out.push_back({g_.flip ? g_.window_size() - 1 - tap : tap,
                       offset(a.at - axes_[0].low, b.at - axes_[1].low, c.at - axes_[2].low)});
      }
  return out;
}

int64_t ConvBlocks::row_count(const ConvPhase& p, const ConvBlock& b) const {
  return b.images * results(p, 0, b) * results(p, 1, b);
}
int64_t ConvBlocks::row_length(const ConvPhase& p, const ConvBlock& b) const {
  return results(p, 2, b);
}

std::vector<ConvBlocks::Row> ConvBlocks::rows(const ConvPhase& p, int64_t channels) const {
  std::vector<Row> out;
  const ConvBlock all = full_block();
  const int64_t n[2] = {results(p, 0, all), results(p, 1, all)};
  for (int64_t image = 0; image < images_; image++)
    for (int64_t i = 0; i < n[0]; i++)
      for (int64_t j = 0; j < n[1]; j++) {
        const int64_t z = p.index[0] + i * axes_[0].period, y = p.index[1] + j * axes_[1].period;
        out.push_back(
            {image * channels * channel_size() + offset(i * axes_[0].step, j * axes_[1].step, 0),
             image * image_positions() + (z * g_.out[1] + y) * g_.out[2] + p.index[2]});
      }
  return out;
}

}  // namespace moai::cpu
