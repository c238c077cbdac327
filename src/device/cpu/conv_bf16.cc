// conv of bf16: weights (outputs x (channel, tap)) times what the results meet ((channel, tap) x
// positions).
#include "src/device/cpu/conv_bf16.h"

namespace moai::cpu {
namespace {

constexpr int64_t kOutputs = 256;  // of a task: sums of its positions stay in the second cache
constexpr int64_t kSlab = 512;     // of depth that is packed at a time
constexpr int64_t kTasks = 8;      // wanted at least

class Bf16Conv : public Bf16ConvKernel {
 public:
  Bf16Conv(const LibraryKernel& k, const Target& target)
      : Bf16ConvKernel(k.operands[0], k.operands[2], k.operands[1], std::get<ConvAttrs>(k.attrs),
                       target) {
    output_panels_ = (g_.group_outputs() + kBf16Panel - 1) / kBf16Panel;
    int64_t longest = 0, deepest = 0, packed = 0;
    for (const ConvPhase& p : lines_.blocks().phases()) {
      Table t;
      t.phase = p, t.taps = sorted_taps(p);
      t.offsets = offsets(t.taps, g_.group_channels());
      t.depth = round_up(static_cast<int64_t>(t.offsets.size()), kBf16Depth);
      t.packed = packed, packed += output_panels_ * kBf16Panel * t.depth;
      longest = std::max(longest,
                         round_up(lines_.line(p, lines_.blocks().full_block()).length, kBf16Lines));
      deepest = std::max(deepest, static_cast<int64_t>(t.offsets.size()));
      tables_.push_back(std::move(t));
    }
    group_packed_ = packed;
    output_parts_ = (output_panels_ * kBf16Panel + kOutputs - 1) / kOutputs;
    choose_sets(longest, image_blocks_ * g_.groups * output_parts_, kTasks);
    in_scratch_ = round_up(set_images_ * image_size(g_.group_channels()), kBf16Tile);
    panels_ = (longest + kBf16Panel - 1) / kBf16Panel;  // of an image
    slab_scratch_ = kBf16Panel * std::min(kSlab, round_up(deepest, kBf16Depth));
    sums_row_ = set_images_ * panels_ * kBf16Panel;
    const int64_t sums = std::min(kOutputs, output_panels_ * kBf16Panel) * sums_row_;
    thread_scratch_ =
        static_cast<uint64_t>(std::max((in_scratch_ + slab_scratch_ + sums_row_) * 2 + sums * 4,
                                       kBf16Panel * deepest * 2) +
                              64);
    shared_scratch_ = static_cast<uint64_t>(group_packed_ * g_.groups * 2 + 64);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    if (g_.batch * g_.result_size() * g_.outputs == 0) return ok_status();
    const int64_t phases = static_cast<int64_t>(tables_.size());
    context.pool.run(g_.groups * phases * output_panels_, [&](int64_t i, int thread) {
      const Table& t = tables_[static_cast<size_t>(i / output_panels_ % phases)];
      pack_weights(buffers[1], i / output_panels_ / phases, t, i % output_panels_, context.shared,
                   reinterpret_cast<uint16_t*>(context.scratch[thread]));
    });
    context.pool.run(sets() * g_.groups * output_parts_, [&](int64_t i, int thread) {
      run_set(buffers, i / output_parts_ % g_.groups, set(i / output_parts_ / g_.groups),
              i % output_parts_ * kOutputs, context.shared, context.scratch[thread]);
    });
    return ok_status();
  }

 private:
  struct Table {
    ConvPhase phase;
    std::vector<ConvBlocks::Tap> taps;
    std::vector<int32_t> offsets;
    int64_t depth = 0, packed = 0;  // packed: where its weights begin
  };
  struct Work {
    uint16_t *in, *slab, *row;
    float* sums;
  };

  Bf16Panels weights(char* shared, int64_t group, const Table& t) const {
    return {reinterpret_cast<uint16_t*>(shared) + group * group_packed_ + t.packed, t.depth};
  }
  void pack_weights(const char* w, int64_t group, const Table& t, int64_t panel, char* shared,
                    uint16_t* scratch) const {
    const int64_t first = panel * kBf16Panel,
                  count = std::min<int64_t>(kBf16Panel, g_.group_outputs() - first),
                  window = g_.window_size(), channels = g_.group_channels(), output = w_.strides[0],
                  channel = w_.strides[1], taps = static_cast<int64_t>(t.taps.size());
    const uint16_t* from = reinterpret_cast<const uint16_t*>(w) + w_.offset +
                           (group * g_.group_outputs() + first) * output;
    uint16_t* out = weights(shared, group, t).panel(panel);
    if (taps == window && (window == 1 || channel == window))
      return ops_.pack(Bf16Side::left, from, output, window == 1 ? channel : 1, count,
                       channels * window, out);
    for (int64_t o = 0; o < count; o++)
      for (int64_t c = 0; c < channels; c++) {
        const uint16_t* x = from + o * output + c * channel;
        uint16_t* to = scratch + (o * channels + c) * taps;
        for (int64_t i = 0; i < taps; i++) to[i] = x[t.taps[static_cast<size_t>(i)].tap];
      }
    ops_.pack(Bf16Side::left, scratch, channels * taps, 1, count, channels * taps, out);
  }

  void run_set(std::span<char* const> buffers, int64_t group, const Set& s, int64_t first,
               char* shared, char* scratch) const {
    Work w;
    w.in = reinterpret_cast<uint16_t*>(scratch);
    w.slab = w.in + in_scratch_, w.row = w.slab + slab_scratch_;
    w.sums = reinterpret_cast<float*>(w.row + sums_row_);
    const int64_t channels = g_.group_channels();
    for (int64_t i = 0; i < s.images; i++)
      copy_input(buffers[0], s.image + i, group * channels, channels, s.block,
                 w.in + i * image_size(channels));
    const int64_t outputs = std::min(kOutputs, g_.group_outputs() - first);
    for (const Table& t : tables_) {
      const ConvLines::Line line = lines_.line(t.phase, s.block);
      if (line.length == 0) continue;
      multiply(t, weights(shared, group, t), s, line.length, first, outputs, w);
      for (int64_t o = 0; o < outputs; o++)
        store(t, s, line, group * g_.group_outputs() + first + o, w.sums + o * sums_row_, w.row,
              buffers[2]);
    }
  }

  // w.sums: outputs x panels of every image of the set.
  void multiply(const Table& t, const Bf16Panels& a, const Set& s, int64_t length, int64_t first,
                int64_t outputs, const Work& w) const {
    const int64_t depth = static_cast<int64_t>(t.offsets.size());
    if (depth == 0) std::fill_n(w.sums, outputs * sums_row_, 0.0f);
    for (int64_t k0 = 0; k0 < depth; k0 += kSlab) {
      const int64_t k = std::min(kSlab, depth - k0), depths = (k + kBf16Depth - 1) / kBf16Depth;
      const Bf16Use use(ops_);
      for (int64_t i = 0; i < s.images; i++)
        for (int64_t j = 0; j < length; j += kBf16Panel) {
          ops_.pack_rows(w.in + i * image_size(g_.group_channels()) + j, t.offsets.data() + k0,
                         std::min<int64_t>(kBf16Panel, length - j), k, w.slab);
          for (int64_t o = 0; o < outputs; o += kBf16Panel)
            ops_.multiply(depths, a.panel((first + o) / kBf16Panel, k0), bf16_tiles(outputs, o),
                          w.slab, bf16_tiles(length, j),
                          w.sums + o * sums_row_ + i * panels_ * kBf16Panel + j, sums_row_, k0 > 0);
        }
    }
  }

  // The results of one output of a set: a line of each image without its gaps.
  void store(const Table& t, const Set& s, const ConvLines::Line& line, int64_t output,
             const float* sums, uint16_t* row, char* y) const {
    ops_.narrow(sums, 0, 1, (s.images - 1) * panels_ * kBf16Panel + line.length, row, 0);
    const int64_t step = lines_.axis_step(2);
    for (int64_t i = 0; i < s.images; i++) {
      uint16_t* plane = reinterpret_cast<uint16_t*>(y) + y_.offset +
                        ((s.image + i) * g_.outputs + output) * g_.result_size() +
                        lines_.blocks().first_position(s.block);
      const uint16_t* from = row + i * panels_ * kBf16Panel;
      for (int64_t z = 0; z < line.rows[0]; z++)
        for (int64_t q = 0; q < line.rows[1]; q++) {
          const int64_t at[2] = {t.phase.index[0] + z * lines_.axis_step(0),
                                 t.phase.index[1] + q * lines_.axis_step(1)};
          uint16_t* to = plane + (at[0] * g_.out[1] + at[1]) * g_.out[2] + t.phase.index[2];
          const uint16_t* x = from + z * line.step[0] + q * line.step[1];
          if (step == 1)
            std::copy_n(x, line.rows[2], to);
          else
            for (int64_t p = 0; p < line.rows[2]; p++) to[p * step] = x[p];
        }
    }
  }

  std::vector<Table> tables_;
  int64_t output_panels_ = 0, output_parts_ = 1, panels_ = 0;
  int64_t group_packed_ = 0, in_scratch_ = 0, slab_scratch_ = 0, sums_row_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_bf16_conv(const LibraryKernel& k, const Target& target) {
  if (!fits_bf16_unit(k.operands[0], k.operands[2], k.operands[1], target)) return nullptr;
  return std::make_unique<Bf16Conv>(k, target);
}

}  // namespace moai::cpu
