// conv_wgrad: every weight sums, over images and positions, products of a gradient and the input.
// Positions are the steps of the sum here, and a block's gradients are packed in the place of
// weights.
#include <vector>

#include "src/device/cpu/contiguous_operand.h"
#include "src/device/cpu/conv_bf16.h"
#include "src/device/cpu/conv_blocks.h"
#include "src/device/cpu/conv_narrow.h"
#include "src/device/cpu/conv_tables.h"
#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kPositions = 256;  // of a block: a panel of gradients stays in the first cache
constexpr int64_t kBlocksMin = 2;    // of a part: blocks that are summed by one task
constexpr int64_t kPartsMax = 16;
constexpr int64_t kPartBytesMax = 32 << 20;   // of all parts' sums
constexpr int64_t kScratchBytes = 512 << 10;  // of the input's channels, and of their sums
constexpr int64_t kTasks = 4;                 // wanted at least

template <class T>
class WgradKernel : public Kernel {
 public:
  WgradKernel(const LibraryKernel& k, const Target& target)
      : v_(*target.vectors),
        ops_(GemmType<T>::conv(v_)),
        x_(k.operands[0]),
        dy_(k.operands[1]),
        dw_(k.operands[2]),
        g_(x_, dy_, dw_, std::get<ConvAttrs>(k.attrs)),
        blocks_(g_, kPositions),
        panels_(conv_panels(g_.group_outputs(), ops_.lanes)) {
    choose_tasks();
    const int64_t size = static_cast<int64_t>(sizeof(T)), padded = padded_outputs(panels_);
    in_scratch_ = round_up(blocks_.images() * channels_ * blocks_.channel_size() + 16, 16);
    sums_scratch_ = padded * (channels_ * g_.window_size() + kConvWidths);
    thread_scratch_ = static_cast<uint64_t>(
        (in_scratch_ + sums_scratch_ + padded * blocks_.positions()) * size + 64);
    if (has_partials())
      shared_scratch_ = static_cast<uint64_t>(parts_ * g_.outputs * g_.depth() * size + 64);
    for (int vectors = 1; vectors <= kConvVectors; vectors++)
      for (const ConvPhase& p : blocks_.phases()) add_table(p, vectors);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t weights = g_.outputs * g_.depth(),
                  size = static_cast<int64_t>(size_of(dw_.dtype));
    if (weights == 0) return ok_status();
    char* dw = buffers[2] + dw_.offset * size;
    T* sums = reinterpret_cast<T*>(has_partials() ? context.shared : dw);
    const int64_t channel_tasks = (g_.group_channels() + channels_ - 1) / channels_,
                  panels = static_cast<int64_t>(panels_.size()),
                  panel_tasks = (panels + panels_per_task_ - 1) / panels_per_task_;
    context.pool.run(g_.groups * parts_ * channel_tasks * panel_tasks, [&](int64_t i, int thread) {
      Task t;
      t.first_panel = i % panel_tasks * panels_per_task_, i /= panel_tasks;
      t.last_panel = std::min(panels, t.first_panel + panels_per_task_);
      t.channel = i % channel_tasks * channels_, i /= channel_tasks;
      t.channels = std::min(channels_, g_.group_channels() - t.channel);
      t.part = i % parts_, t.group = i / parts_;
      run_task(buffers[0], buffers[1], t, sums + t.part * weights, context.scratch[thread]);
    });
    if (has_partials()) add_parts(sums, dw, context.pool);
    return ok_status();
  }

 private:
  struct Task {
    int64_t group, part, channel, channels, first_panel, last_panel;
  };
  struct Table {
    ConvPhase phase;
    int width;
    std::vector<ConvStep> steps;
    ConvGroups groups;
    int64_t channel_groups;  // groups of one channel
  };

  void choose_tasks() {
    const int64_t size = static_cast<int64_t>(sizeof(T)),
                  blocks = std::max<int64_t>(1, blocks_.count()),
                  weight_bytes = std::max<int64_t>(1, g_.outputs * g_.depth() * size);
    parts_ = std::clamp<int64_t>(std::min(blocks / kBlocksMin, kPartBytesMax / weight_bytes), 1,
                                 kPartsMax);
    part_blocks_ = (blocks + parts_ - 1) / parts_;
    parts_ = (blocks + part_blocks_ - 1) / part_blocks_;
    const int64_t channel_bytes =
        size * std::max(blocks_.images() * blocks_.channel_size(),
                        padded_outputs(panels_) * std::max<int64_t>(1, g_.window_size()));
    channels_ = std::clamp<int64_t>(kScratchBytes / std::max<int64_t>(1, channel_bytes), 1,
                                    std::max<int64_t>(1, g_.group_channels()));
    panels_per_task_ = static_cast<int64_t>(panels_.size());
    if (g_.groups * parts_ < kTasks)
      panels_per_task_ = std::max<int64_t>(1, panels_per_task_ * g_.groups * parts_ / kTasks);
  }
  bool has_partials() const { return parts_ > 1 || !GemmType<T>::is_direct(dw_.dtype); }

  void add_table(const ConvPhase& p, int vectors) {
    const auto& bodies = ops_.bodies[vectors - 1];
    const int64_t lanes = vectors * ops_.lanes, window = g_.window_size();
    const std::vector<ConvBlocks::Tap> taps = blocks_.taps(p);
    // Runs of taps that are evenly spaced, in the image and in the weight.
    const int64_t run = taps.empty() ? 1 : run_length(taps);
    const int width = conv_width(bodies, run, false);
    Table t = {p, width, {}, ConvGroups(width, bodies[width - 1].groups), 0};
    for (const ConvBlocks::Row& r : blocks_.rows(p, channels_))
      for (int64_t i = 0; i < blocks_.row_length(p, blocks_.full_block()); i++)
        t.steps.push_back(
            {static_cast<int32_t>(r.x + i * blocks_.x_step()),
             static_cast<int32_t>((r.position + i * blocks_.position_step()) * lanes)});
    for (int64_t c = 0; c < channels_; c++)
      for (size_t i = 0; i < taps.size(); i += static_cast<size_t>(run))
        t.groups.add_row(c * blocks_.channel_size() + taps[i].x, tap_step(),
                         (c * window + taps[i].tap) * lanes, weight_step() * lanes, run);
    t.groups.finish(channels_ * window * lanes + (g_.flip ? (width - 1) * lanes : 0));
    t.channel_groups = static_cast<int64_t>(taps.size()) / run * t.groups.count(run);
    tables_[vectors - 1].push_back(std::move(t));
  }
  int64_t tap_step() const { return g_.lhs_dilation[2] == 1 ? g_.dilation[2] : 1; }
  int64_t weight_step() const { return g_.flip ? -1 : 1; }
  int64_t run_length(const std::vector<ConvBlocks::Tap>& taps) const {
    return g_.lhs_dilation[2] == 1 && taps.size() % static_cast<size_t>(g_.window[2]) == 0
               ? g_.window[2]
               : 1;
  }

  // Sums of one part over some channels and outputs.
  void run_task(const char* x, const char* dy, const Task& t, T* to, char* scratch) const {
    T* in = reinterpret_cast<T*>(scratch);
    T* sums = in + in_scratch_;
    T* gradients = sums + sums_scratch_;
    std::fill_n(sums, sums_scratch_, T(0));
    const int64_t last = std::min(blocks_.count(), (t.part + 1) * part_blocks_),
                  window = g_.window_size(), size = static_cast<int64_t>(size_of(x_.dtype));
    for (int64_t i = t.part * part_blocks_; i < last; i++) {
      const ConvBlock b = blocks_.block(i);
      const ConvImage image = blocks_.image(x_.dtype, b, t.channels);
      for (int64_t j = 0; j < b.images; j++) {
        const int64_t channel = t.group * g_.group_channels() + t.channel,
                      at = x_.offset + (b.image + j) * g_.x_batch + channel * g_.x_channel;
        ops_.copy_image(image, x + at * size, in + j * channels_ * blocks_.channel_size());
      }
      for (int64_t q = t.first_panel; q < t.last_panel; q++) {
        const ConvPanel& p = panels_[static_cast<size_t>(q)];
        pack_gradients(dy, t.group, b, p, gradients);
        add_block(b, p, t.channels, in, gradients, sums_of(sums, p));
      }
    }
    for (int64_t q = t.first_panel; q < t.last_panel; q++) {
      const ConvPanel& p = panels_[static_cast<size_t>(q)];
      ops_.store_transposed(
          sums_of(sums, p), p.width, t.channels * window, p.count, type_of_sums(),
          to + (t.group * g_.group_outputs() + p.first) * g_.depth() + t.channel * window,
          g_.depth());
    }
  }
  T* sums_of(T* sums, const ConvPanel& p) const {
    return sums + p.offset * (channels_ * g_.window_size() + kConvWidths);
  }
  static DType type_of_sums() {
    return std::is_same_v<T, float>    ? DType::f32
           : std::is_same_v<T, double> ? DType::f64
                                       : DType::i64;
  }

  // [positions of the block, outputs of the panel].
  void pack_gradients(const char* dy, int64_t group, const ConvBlock& b, const ConvPanel& p,
                      T* out) const {
    const int64_t plane = g_.result_size(), size = static_cast<int64_t>(size_of(dy_.dtype));
    for (int64_t i = 0; i < b.images; i++) {
      const int64_t output = (b.image + i) * g_.outputs + group * g_.group_outputs() + p.first,
                    at = dy_.offset + output * plane + blocks_.first_position(b);
      GemmType<T>::pack(v_, {dy + at * size, dy_.dtype, plane, 1}, p.count,
                        blocks_.image_positions(b), static_cast<int>(p.width),
                        out + i * blocks_.image_positions() * p.width);
    }
  }
  void add_block(const ConvBlock& b, const ConvPanel& p, int64_t channels, const T* in,
                 const T* gradients, T* sums) const {
    for (const Table& t : tables_[p.vectors - 1]) {
      const ConvTile<T> tile = {in,
                                gradients,
                                sums,
                                t.steps.data(),
                                blocks_.row_count(t.phase, b) * blocks_.row_length(t.phase, b),
                                tap_step(),
                                weight_step() * p.width,
                                true};
      t.groups.run(ops_.bodies[p.vectors - 1][t.width - 1], tile, channels * t.channel_groups);
    }
  }

  void add_parts(T* sums, char* dw, ThreadPool& pool) const {
    constexpr int64_t kChunk = 4096;
    const int64_t weights = g_.outputs * g_.depth(),
                  size = static_cast<int64_t>(size_of(dw_.dtype));
    pool.run((weights + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
      const int64_t at = chunk * kChunk, n = std::min(kChunk, weights - at);
      for (int64_t p = 1; p < parts_; p++)
        for (int64_t i = at; i < at + n; i++) sums[i] += sums[p * weights + i];
      GemmType<T>::narrow(v_, dw_.dtype, sums + at, dw + at * size, n);
    });
  }

  const VectorOps& v_;
  const ConvOps<T>& ops_;
  const Operand x_, dy_, dw_;
  const ConvGeometry g_;
  const ConvBlocks blocks_;
  const std::vector<ConvPanel> panels_;
  std::vector<Table> tables_[kConvVectors];
  int64_t parts_ = 1, part_blocks_ = 1, channels_ = 1, panels_per_task_ = 1;
  int64_t in_scratch_ = 0, sums_scratch_ = 0;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_conv_wgrad(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (is_complex(t)) return refuse_complex(k.op);
  const auto make = [&](const LibraryKernel& in_order) -> StatusOr<std::unique_ptr<Kernel>> {
    if (auto kernel = make_narrow_wgrad(in_order, *target.vectors)) return kernel;
    if (auto kernel = make_bf16_wgrad(in_order, target)) return kernel;
    if (t == DType::f64) return std::unique_ptr<Kernel>(new WgradKernel<double>(in_order, target));
    if (is_float(t)) return std::unique_ptr<Kernel>(new WgradKernel<float>(in_order, target));
    return std::unique_ptr<Kernel>(new WgradKernel<int64_t>(in_order, target));
  };
  // A gradient may be one number for all, as that of a sum is.
  return with_contiguous_operand(k, 1, make);
}

}  // namespace moai::cpu
