// Positions as lanes: where in scratch the inputs of neighbouring results are neighbours.
//
// With steps between results (stride) an image lies in scratch as several, one for each remainder
// of a position by the step, so that the next result always meets the next element. Rows follow one
// another with their padding: a block of results is one line, with gaps that nobody needs.
#pragma once
#include <cstdint>
#include <vector>

#include "src/device/cpu/conv_blocks.h"

namespace moai::cpu {

class ConvLines {
 public:
  // Blocks of about `positions` results of one image.
  ConvLines(const ConvGeometry& g, int64_t positions);

  const ConvBlocks& blocks() const { return blocks_; }
  // The images that a channel becomes: the source's first element, and the copy.
  struct Part {
    int64_t x;
    ConvImage image;
  };
  int parts() const { return static_cast<int>(residues_.size()); }
  Part part(int i, DType dtype, const ConvBlock& b) const;
  int64_t part_size() const { return size_[0] * size_[1] * size_[2]; }
  int64_t channel_size() const { return parts() * part_size(); }

  std::vector<ConvBlocks::Tap> taps(const ConvPhase& p) const;
  // Results of a phase of a block, as [rows[0], rows[1], rows[2]] in a line with these steps.
  struct Line {
    int64_t rows[3], step[2], length;
  };
  Line line(const ConvPhase& p, const ConvBlock& b) const;
  int64_t axis_step(int d) const { return blocks_.axis(d).period; }  // of results of a phase
  // A gradient in the places of its results: zeros in the gaps.
  ConvImage gradient(DType dtype, const ConvBlock& b, int64_t channels) const;

 private:
  struct Residue {
    int64_t at[3];
  };
  int64_t residue_of(const int64_t (&at)[3]) const;

  const ConvGeometry g_;
  const ConvBlocks blocks_;
  std::vector<Residue> residues_;  // that some tap meets
  int64_t low_[3], size_[3];
};

}  // namespace moai::cpu
