// conv_wgrad of bf16: what the results meet ((channel, tap) x positions) times gradients (positions
// x outputs).
#include "src/device/cpu/conv_bf16.h"

namespace moai::cpu {
namespace {

constexpr int64_t kSums = 1 << 17;  // of a task: they stay in the second cache
constexpr int64_t kTasks = 4;       // wanted at least

class Bf16Wgrad : public Bf16ConvKernel {
 public:
  Bf16Wgrad(const LibraryKernel& k, const Target& target)
      : Bf16ConvKernel(k.operands[0], k.operands[1], k.operands[2], std::get<ConvAttrs>(k.attrs),
                       target) {
    const ConvPhase phase = lines_.blocks().phases().front();
    const std::vector<ConvBlocks::Tap> taps = sorted_taps(phase);
    row_ = round_up(g_.group_outputs(), kBf16Lines);
    const int64_t window = g_.window_size(), padded = round_up(g_.group_outputs(), kBf16Panel);
    channels_ = std::clamp<int64_t>(kSums / row_ / window, 1, g_.group_channels());
    channel_tasks_ = (g_.group_channels() + channels_ - 1) / channels_;
    offsets_ = offsets(taps, channels_);
    last_offsets_ = offsets(taps, g_.group_channels() - (channel_tasks_ - 1) * channels_);
    const int64_t longest =
        round_up(lines_.line(phase, lines_.blocks().full_block()).length, kBf16Depth);
    choose_sets(longest, image_blocks_, kTasks);
    parts_ = std::clamp<int64_t>(kTasks / (g_.groups * channel_tasks_), 1, sets());
    part_sets_ = (sets() + parts_ - 1) / parts_;
    parts_ = (sets() + part_sets_ - 1) / part_sets_;
    depth_ = set_images_ * longest;
    in_scratch_ = round_up(set_images_ * image_size(channels_), kBf16Tile);
    line_scratch_ = round_up(g_.group_outputs() * lines_.part_size(), kBf16Tile);
    sums_ = round_up(channels_ * window, kBf16Panel) * row_;
    thread_scratch_ = static_cast<uint64_t>(
        (in_scratch_ + line_scratch_ + (padded + kBf16Panel) * depth_) * 2 + sums_ * 4 + 64);
    if (parts_ > 1)
      shared_scratch_ = static_cast<uint64_t>(parts_ * g_.outputs * g_.depth() * 4 + 64);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t weights = g_.outputs * g_.depth();
    char* dw = buffers[2] + w_.offset * 2;
    context.pool.run(g_.groups * parts_ * channel_tasks_, [&](int64_t i, int thread) {
      Task t;
      t.channel = i % channel_tasks_ * channels_, i /= channel_tasks_;
      t.channels = std::min(channels_, g_.group_channels() - t.channel);
      t.part = i % parts_, t.group = i / parts_;
      const bool is_direct = parts_ == 1;
      run_task(buffers[0], buffers[1], t, is_direct ? DType::bf16 : DType::f32,
               is_direct ? dw : context.shared + t.part * weights * 4, context.scratch[thread]);
    });
    if (parts_ > 1) add_parts(reinterpret_cast<float*>(context.shared), dw, context.pool);
    return ok_status();
  }

 private:
  struct Task {
    int64_t group, part, channel, channels;
  };
  struct Work {
    uint16_t *in, *line, *gradients, *panel;
    float* sums;
  };

  void run_task(const char* x, const char* dy, const Task& t, DType dtype, char* to,
                char* scratch) const {
    Work w;
    w.in = reinterpret_cast<uint16_t*>(scratch);
    w.line = w.in + in_scratch_, w.gradients = w.line + line_scratch_;
    w.panel = w.gradients + round_up(g_.group_outputs(), kBf16Panel) * depth_;
    w.sums = reinterpret_cast<float*>(w.panel + kBf16Panel * depth_);
    std::fill_n(w.sums, sums_, 0.0f);
    const int64_t last = std::min(sets(), (t.part + 1) * part_sets_);
    for (int64_t i = t.part * part_sets_; i < last; i++) add_set(x, dy, t, set(i), w);
    const int64_t window = g_.window_size(), size = static_cast<int64_t>(size_of(dtype)),
                  first = (t.group * g_.group_outputs() * g_.group_channels() + t.channel) * window;
    v_.conv_f32.store_transposed(w.sums, row_, t.channels * window, g_.group_outputs(), dtype,
                                 to + first * size, g_.depth());
  }

  void add_set(const char* x, const char* dy, const Task& t, const Set& s, const Work& w) const {
    const int64_t length = lines_.line(lines_.blocks().phases().front(), s.block).length,
                  depth = round_up(length, kBf16Depth), lines = t.channels * g_.window_size(),
                  outputs = g_.group_outputs(), input = image_size(channels_);
    for (int64_t i = 0; i < s.images; i++) {
      copy_input(x, s.image + i, t.group * g_.group_channels() + t.channel, t.channels, s.block,
                 w.in + i * input);
      pack_gradients(dy, t.group, s, i, length, w);
    }
    const int32_t* at = t.channels == channels_ ? offsets_.data() : last_offsets_.data();
    const Bf16Panels gradients = {w.gradients, depth_};
    const Bf16Use use(ops_);
    for (int64_t l = 0; l < lines; l += kBf16Panel) {
      for (int64_t i = 0; i < s.images; i++)
        ops_.pack_lines(w.in + i * input, at + l, std::min<int64_t>(kBf16Panel, lines - l), length,
                        w.panel + i * depth * kBf16Panel);
      for (int64_t o = 0; o < outputs; o += kBf16Panel)
        ops_.multiply(s.images * depth / kBf16Depth, w.panel, bf16_tiles(lines, l),
                      gradients.panel(o / kBf16Panel), bf16_tiles(outputs, o),
                      w.sums + l * row_ + o, row_, true);
    }
  }
  // Of image i of the set, with zeros in the gaps.
  void pack_gradients(const char* dy, int64_t group, const Set& s, int64_t i, int64_t length,
                      const Work& w) const {
    const int64_t outputs = g_.group_outputs(),
                  plane = (s.image + i) * g_.outputs + group * outputs,
                  depth = round_up(length, kBf16Depth);
    ops_.copy_image(lines_.gradient(y_.dtype, s.block, outputs),
                    reinterpret_cast<const uint16_t*>(dy) + y_.offset + plane * g_.result_size(),
                    w.line);
    const Bf16Panels out = {w.gradients, depth_};
    for (int64_t o = 0; o < outputs; o += kBf16Panel)
      ops_.pack(Bf16Side::right, w.line + o * lines_.part_size(), lines_.part_size(), 1,
                std::min<int64_t>(kBf16Panel, outputs - o), length,
                out.panel(o / kBf16Panel, i * depth));
  }

  void add_parts(float* sums, char* dw, ThreadPool& pool) const {
    constexpr int64_t kChunk = 4096;
    const int64_t weights = g_.outputs * g_.depth();
    pool.run((weights + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
      const int64_t at = chunk * kChunk, n = std::min(kChunk, weights - at);
      for (int64_t p = 1; p < parts_; p++) v_.add_f32(sums + p * weights + at, sums + at, n);
      ops_.narrow(sums + at, 0, 1, n, reinterpret_cast<uint16_t*>(dw) + at, 0);
    });
  }

  std::vector<int32_t> offsets_,
      last_offsets_;  // of channels_, and of what the last task of channels has
  int64_t channels_ = 1, channel_tasks_ = 1, parts_ = 1, part_sets_ = 1;
  int64_t row_ = 0, depth_ = 0, in_scratch_ = 0, line_scratch_ = 0, sums_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_bf16_wgrad(const LibraryKernel& k, const Target& target) {
  if (!fits_bf16_unit(k.operands[0], k.operands[1], k.operands[2], target)) return nullptr;
  const ConvGeometry g(k.operands[0], k.operands[1], k.operands[2], std::get<ConvAttrs>(k.attrs));
  if (g.batch * g.result_size() * g.outputs * g.depth() == 0) return nullptr;
  return std::make_unique<Bf16Wgrad>(k, target);
}

}  // namespace moai::cpu
