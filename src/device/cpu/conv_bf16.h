// Convolutions of bf16 by the processor's unit for it: matrix products whose operands are packed
// from images that lie in scratch with their padding, results in lines (ConvLines).
#pragma once
#include <algorithm>
#include <vector>

#include "src/device/cpu/bf16_gemm.h"
#include "src/device/cpu/conv_lines.h"

namespace moai::cpu {

// The kernels; null where others are better or must be. The windows of weights lie one after the
// other.
std::unique_ptr<Kernel> make_bf16_conv(const LibraryKernel& k, const Target& target);
std::unique_ptr<Kernel> make_bf16_wgrad(const LibraryKernel& k, const Target& target);

class Bf16ConvKernel : public Kernel {
 protected:
  static constexpr int64_t kPositions = 512;  // of a set of blocks

  // x, y and weight of the forward convolution.
  Bf16ConvKernel(const Operand& x, const Operand& y, const Operand& w, const ConvAttrs& attrs,
                 const Target& target)
      : v_(*target.vectors),
        ops_(*target.bf16),
        x_(x),
        y_(y),
        w_(w),
        g_(x, y, w, attrs),
        lines_(g_, kPositions),
        image_blocks_(lines_.blocks().count() / std::max<int64_t>(1, g_.batch)) {}

  // Several small images, or a block of one.
  struct Set {
    int64_t image, images;
    ConvBlock block;
  };
  Set set(int64_t i) const {
    const int64_t image = i / image_blocks_ * set_images_;
    return {image, std::min(set_images_, g_.batch - image),
            lines_.blocks().block(i % image_blocks_)};
  }
  int64_t sets() const { return (g_.batch + set_images_ - 1) / set_images_ * image_blocks_; }
  // length: of a line with what it is padded to; tasks: wanted at least, where other splits make
  // `others`.
  void choose_sets(int64_t length, int64_t others, int64_t tasks) {
    if (image_blocks_ != 1) return;
    const int64_t most = std::max<int64_t>(1, g_.batch * others / tasks);
    set_images_ =
        std::clamp<int64_t>(kPositions / std::max<int64_t>(1, length), 1, std::min(most, g_.batch));
  }

  // An image's `channels` lie as [part, channel, part_size].
  int64_t image_size(int64_t channels) const { return channels * lines_.channel_size(); }
  void copy_input(const char* x, int64_t image, int64_t channel, int64_t channels,
                  const ConvBlock& b, uint16_t* out) const {
    const uint16_t* from = reinterpret_cast<const uint16_t*>(x) + x_.offset + image * g_.x_batch +
                           channel * g_.x_channel;
    for (int i = 0; i < lines_.parts(); i++, out += channels * lines_.part_size()) {
      ConvLines::Part p = lines_.part(i, x_.dtype, b);
      p.image.channels = channels;
      ops_.copy_image(p.image, from + p.x, out);
    }
  }
  // Where that copy holds what the first result of a phase meets, in the order of (channel, stored
  // weight).
  std::vector<int32_t> offsets(const std::vector<ConvBlocks::Tap>& taps, int64_t channels) const {
    std::vector<int32_t> out;
    const int64_t size = lines_.part_size();
    for (int64_t c = 0; c < channels; c++)
      for (const ConvBlocks::Tap& t : taps)
        out.push_back(static_cast<int32_t>((t.x / size * channels + c) * size + t.x % size));
    return out;
  }
  std::vector<ConvBlocks::Tap> sorted_taps(const ConvPhase& p) const {
    std::vector<ConvBlocks::Tap> taps = lines_.taps(p);
    std::sort(taps.begin(), taps.end(), [](const auto& a, const auto& b) { return a.tap < b.tap; });
    return taps;
  }

  const VectorOps& v_;
  const Bf16Ops& ops_;
  const Operand x_, y_, w_;
  const ConvGeometry g_;
  const ConvLines lines_;
  const int64_t image_blocks_;  // of one image
  int64_t set_images_ = 1;
};

// Whether the unit takes it: bf16 throughout, and vectors of positions are not the better way.
inline bool fits_bf16_unit(const Operand& x, const Operand& y, const Operand& w,
                           const Target& target) {
  return target.bf16 != nullptr && x.dtype == DType::bf16 && y.dtype == DType::bf16 &&
         w.dtype == DType::bf16;
}

}  // namespace moai::cpu
