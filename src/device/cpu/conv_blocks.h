// How the results of a convolution are cut into blocks whose part of the input fits into scratch,
// and where in scratch the elements lie that a result meets.
#pragma once
#include <cstdint>
#include <vector>

#include "src/device/cpu/conv_geometry.h"
#include "src/device/cpu/conv_ops.h"

namespace moai::cpu {

// One axis. With zeros between the elements of the input (lhs_dilation), results that are `period`
// apart meet the same taps of the kernel: a phase. Taps that meet zeros are left out.
struct ConvAxis {
  struct Tap {
    int64_t tap, at;  // at: the element that the first result of the phase meets
  };
  int64_t period = 1, step = 1;  // step: elements of the input from one result to its phase's next
  int64_t low = 0, high = 0;     // of all `at`
  std::vector<std::vector<Tap>> phases;

  ConvAxis() = default;
  ConvAxis(const ConvGeometry& g, int d);
  int64_t results(int64_t phase, int64_t length) const {
    return length > phase ? (length - phase + period - 1) / period : 0;
  }
};

struct ConvPhase {
  int64_t index[3];
};
struct ConvBlock {
  int64_t image, images, first, length;  // results [first, first + length) along the cut axis
};

class ConvBlocks {
 public:
  // A block has about `positions` results: whole images, or a range along the first axis of one.
  ConvBlocks(const ConvGeometry& g, int64_t positions);

  int64_t count() const { return images_count_ * parts_; }
  ConvBlock block(int64_t i) const;

  // Results of one image in a full block; of all its images; of a block; before a block.
  int64_t image_positions() const { return length_ * inner_; }
  int64_t positions() const { return images_ * image_positions(); }
  int64_t image_positions(const ConvBlock& b) const { return b.length * inner_; }
  int64_t first_position(const ConvBlock& b) const { return b.first * inner_; }

  const ConvAxis& axis(int d) const { return axes_[d]; }
  int64_t length(int d, const ConvBlock& b) const { return d == cut_ ? b.length : g_.out[d]; }

  // Scratch is [images, channels, channel_size].
  int64_t channel_size() const { return size_[0] * size_[1] * size_[2]; }
  int64_t images() const { return images_; }
  ConvImage image(DType dtype, const ConvBlock& b, int64_t channels) const;

  std::vector<ConvPhase> phases() const;  // that have results
  struct Tap {
    int64_t tap, x;  // the weight as it is stored, and the offset in scratch from the result's
  };
  std::vector<Tap> taps(const ConvPhase& p) const;
  // Results of the phase in a full block, in rows along the last axis.
  struct Row {
    int64_t x, position;
  };
  std::vector<Row> rows(const ConvPhase& p, int64_t channels) const;
  int64_t row_count(const ConvPhase& p, const ConvBlock& b) const;
  int64_t row_length(const ConvPhase& p, const ConvBlock& b) const;
  ConvBlock full_block() const { return {0, images_, 0, length_}; }
  int64_t x_step() const { return axes_[2].step; }
  int64_t position_step() const { return axes_[2].period; }

 private:
  int64_t results(const ConvPhase& p, int d, const ConvBlock& b) const {
    return axes_[d].results(p.index[d], length(d, b));
  }
  int64_t offset(int64_t z, int64_t y, int64_t x) const {
    return (z * size_[1] + y) * size_[2] + x;
  }

  const ConvGeometry g_;
  ConvAxis axes_[3];
  int cut_ = 2;                                  // the first axis with more than one result
  int64_t images_ = 1, length_ = 1, inner_ = 1;  // of a full block; results behind the cut axis
  int64_t images_count_ = 0, parts_ = 1, size_[3];
};

}  // namespace moai::cpu
