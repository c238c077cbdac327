#include "src/device/cpu/conv_lines.h"

#include <algorithm>

namespace moai::cpu {
namespace {

int64_t quotient(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
int64_t remainder(int64_t a, int64_t b) { return a - quotient(a, b) * b; }

}  // namespace

ConvLines::ConvLines(const ConvGeometry& g, int64_t positions)
    : g_(g), blocks_(g, std::clamp<int64_t>(g.result_size(), 1, positions)) {
  const ConvBlock all = blocks_.full_block();
  for (int d = 0; d < 3; d++) {
    const ConvAxis& a = blocks_.axis(d);
    low_[d] = quotient(a.low, a.step);
    size_[d] = quotient(a.high, a.step) - low_[d] +
               std::max<int64_t>(1, a.results(0, blocks_.length(d, all)));
  }
  Residue r;
  const auto is_met = [&](int d, int64_t at) {
    const ConvAxis& a = blocks_.axis(d);
    for (const auto& phase : a.phases)
      for (const ConvAxis::Tap& t : phase)
        if (remainder(t.at, a.step) == at) return true;
    return false;
  };
  for (r.at[0] = 0; r.at[0] < blocks_.axis(0).step; r.at[0]++)
    for (r.at[1] = 0; r.at[1] < blocks_.axis(1).step; r.at[1]++)
      for (r.at[2] = 0; r.at[2] < blocks_.axis(2).step; r.at[2]++)
        if (is_met(0, r.at[0]) && is_met(1, r.at[1]) && is_met(2, r.at[2])) residues_.push_back(r);
}

int64_t ConvLines::residue_of(const int64_t (&at)[3]) const {
  const auto same = [&](const Residue& r) { return std::equal(at, at + 3, r.at); };
  return std::find_if(residues_.begin(), residues_.end(), same) - residues_.begin();
}

ConvLines::Part ConvLines::part(int i, DType dtype, const ConvBlock& b) const {
  const Residue& r = residues_[static_cast<size_t>(i)];
  Part part = {0, blocks_.image(dtype, b, 1)};
  for (int d = 0; d < 3; d++) {
    const ConvAxis& a = blocks_.axis(d);
    ConvImage& image = part.image;
    part.x += r.at[d] * g_.x_step[d];
    image.in[d] = r.at[d] < g_.in[d] ? (g_.in[d] - r.at[d] - 1) / a.step + 1 : 0;
    image.x_step[d] *= a.step, image.size[d] = size_[d];
    image.low[d] = low_[d] + (image.low[d] - a.low) / a.step;
  }
  return part;
}

std::vector<ConvBlocks::Tap> ConvLines::taps(const ConvPhase& p) const {
  std::vector<ConvBlocks::Tap> out;
  const auto of = [&](int d) -> const std::vector<ConvAxis::Tap>& {
    return blocks_.axis(d).phases[static_cast<size_t>(p.index[d])];
  };
  for (const ConvAxis::Tap& a : of(0))
    for (const ConvAxis::Tap& b : of(1))
      for (const ConvAxis::Tap& c : of(2)) {
        const int64_t tap = (a.tap * g_.window[1] + b.tap) * g_.window[2] + c.tap,
                      at[3] = {a.at, b.at, c.at};
        int64_t residue[3], x = 0;
        for (int d = 0; d < 3; d++) {
          const int64_t step = blocks_.axis(d).step;
          residue[d] = remainder(at[d], step);
          x = x * size_[d] + quotient(at[d], step) - low_[d];
        }
        out.push_back(
            {g_.flip ? g_.window_size() - 1 - tap : tap, residue_of(residue) * part_size() + x});
      }
  return out;
}

ConvLines::Line ConvLines::line(const ConvPhase& p, const ConvBlock& b) const {
  Line out = {{}, {size_[1] * size_[2], size_[2]}, 0};
  for (int d = 0; d < 3; d++)
    out.rows[d] = blocks_.axis(d).results(p.index[d], blocks_.length(d, b));
  if (out.rows[0] > 0 && out.rows[1] > 0 && out.rows[2] > 0)
    out.length = (out.rows[0] - 1) * out.step[0] + (out.rows[1] - 1) * out.step[1] + out.rows[2];
  return out;
}

ConvImage ConvLines::gradient(DType dtype, const ConvBlock& b, int64_t channels) const {
  ConvImage image = blocks_.image(dtype, b, channels);
  image.x_channel = g_.result_size();
  int64_t step = 1;
  for (int d = 2; d >= 0; d--) {
    image.in[d] = g_.out[d], image.x_step[d] = step, step *= g_.out[d];
    image.low[d] = blocks_.length(d, b) < g_.out[d] ? b.first : 0, image.size[d] = size_[d];
  }
  return image;
}

}  // namespace moai::cpu
