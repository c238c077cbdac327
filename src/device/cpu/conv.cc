// conv: the input of a block of results is copied into scratch with its padding, and multiplied
// there by packed weights.
#include <vector>

#include "src/device/cpu/contiguous_operand.h"
#include "src/device/cpu/conv_bf16.h"
#include "src/device/cpu/conv_blocks.h"
#include "src/device/cpu/conv_narrow.h"
#include "src/device/cpu/conv_pointwise.h"
#include "src/device/cpu/conv_tables.h"
#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kPositions = 512;  // of a block: its sums and its input stay in the second cache
constexpr int64_t kTasks = 8;        // wanted at least

template <class T>
class ConvKernel : public Kernel {
 public:
  ConvKernel(const LibraryKernel& k, const Target& target)
      : v_(*target.vectors),
        ops_(GemmType<T>::conv(v_)),
        x_(k.operands[0]),
        w_(k.operands[1]),
        y_(k.operands[2]),
        g_(x_, y_, w_, std::get<ConvAttrs>(k.attrs)),
        blocks_(g_, kPositions),
        panels_(conv_panels(g_.group_outputs(), ops_.lanes)) {
    const int64_t padded = padded_outputs(panels_), tasks = g_.groups * blocks_.count();
    packed_ = round_up(padded * g_.depth(), 16);
    panels_per_task_ = static_cast<int64_t>(panels_.size());
    if (tasks > 0 && tasks < kTasks)
      panels_per_task_ = std::max<int64_t>(1, panels_per_task_ * tasks / kTasks);
    in_scratch_ =
        round_up(blocks_.images() * g_.group_channels() * blocks_.channel_size() + 16, 16);
    thread_scratch_ =
        static_cast<uint64_t>(in_scratch_ + blocks_.positions() * kConvVectors * ops_.lanes) *
            sizeof(T) +
        64;
    shared_scratch_ = static_cast<uint64_t>(packed_ * g_.groups) * sizeof(T) + 64;
    for (int vectors = 1; vectors <= kConvVectors; vectors++)
      for (const ConvPhase& p : blocks_.phases()) add_table(p, vectors);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    if (g_.batch * g_.result_size() * g_.outputs == 0) return ok_status();
    pack_weights(buffers[1], context);
    const int64_t panels = static_cast<int64_t>(panels_.size()),
                  parts = (panels + panels_per_task_ - 1) / panels_per_task_,
                  tasks = g_.groups * blocks_.count() * parts;
    context.pool.run(tasks, [&](int64_t task, int thread) {
      const int64_t part = task % parts, block = task / parts % blocks_.count(),
                    group = task / parts / blocks_.count();
      run_block(buffers[0], buffers[2], group, blocks_.block(block), part * panels_per_task_,
                std::min(panels, (part + 1) * panels_per_task_), context.shared,
                context.scratch[thread]);
    });
    return ok_status();
  }

 private:
  // The steps and sums of a phase.
  struct Table {
    ConvPhase phase;
    int width;
    std::vector<ConvStep> steps;
    ConvGroups groups;
  };

  void add_table(const ConvPhase& p, int vectors) {
    const auto& bodies = ops_.bodies[vectors - 1];
    const int64_t length = blocks_.row_length(p, blocks_.full_block()),
                  lanes = vectors * ops_.lanes, channels = g_.group_channels();
    const int width = conv_width(bodies, length, true);
    Table t = {p, width, {}, ConvGroups(width, bodies[width - 1].groups)};
    const std::vector<ConvBlocks::Tap> taps = blocks_.taps(p);
    for (int64_t c = 0; c < channels; c++)
      for (const ConvBlocks::Tap& tap : taps)
        t.steps.push_back({static_cast<int32_t>(c * blocks_.channel_size() + tap.x),
                           static_cast<int32_t>((c * g_.window_size() + tap.tap) * lanes)});
    for (const ConvBlocks::Row& r : blocks_.rows(p, channels))
      t.groups.add_row(r.x, blocks_.x_step(), r.position * lanes, blocks_.position_step() * lanes,
                       length);
    t.groups.finish();
    tables_[vectors - 1].push_back(std::move(t));
  }

  void pack_weights(const char* w, RunContext& context) const {
    const int64_t size = static_cast<int64_t>(size_of(w_.dtype)), window = g_.window_size();
    const char* from = w + w_.offset * size;
    const int64_t output = w_.strides[0], channel = w_.strides[1];
    const int64_t panels = static_cast<int64_t>(panels_.size());
    context.pool.run(panels * g_.groups, [&](int64_t i, int) {
      const int64_t group = i / panels, channels = g_.group_channels();
      const ConvPanel& p = panels_[static_cast<size_t>(i % panels)];
      T* out = weights(context.shared, group, p);
      const char* at = from + (group * g_.group_outputs() + p.first) * output * size;
      const int width = static_cast<int>(p.width);
      if (window == 1)
        return GemmType<T>::pack(v_, {at, w_.dtype, output, channel}, p.count, channels, width,
                                 out);
      if (channel == window)
        return GemmType<T>::pack(v_, {at, w_.dtype, output, 1}, p.count, channels * window, width,
                                 out);
      for (int64_t c = 0; c < channels; c++)
        GemmType<T>::pack(v_, {at + c * channel * size, w_.dtype, output, 1}, p.count, window,
                          width, out + c * window * p.width);
    });
  }
  T* weights(char* shared, int64_t group, const ConvPanel& p) const {
    return reinterpret_cast<T*>(shared) + group * packed_ + p.offset * g_.depth();
  }

  void run_block(const char* x, char* y, int64_t group, const ConvBlock& b, int64_t first_panel,
                 int64_t last_panel, char* shared, char* scratch) const {
    const int64_t channels = g_.group_channels(), x_size = static_cast<int64_t>(size_of(x_.dtype)),
                  y_size = static_cast<int64_t>(size_of(y_.dtype)), plane = g_.result_size();
    T* in = reinterpret_cast<T*>(scratch);
    T* sums = in + in_scratch_;
    const ConvImage image = blocks_.image(x_.dtype, b, channels);
    for (int64_t i = 0; i < b.images; i++) {
      const int64_t at = x_.offset + (b.image + i) * g_.x_batch + group * channels * g_.x_channel;
      ops_.copy_image(image, x + at * x_size, in + i * channels * blocks_.channel_size());
    }
    for (int64_t q = first_panel; q < last_panel; q++) {
      const ConvPanel& p = panels_[static_cast<size_t>(q)];
      multiply(b, p, in, weights(shared, group, p), sums);
      for (int64_t i = 0; i < b.images; i++) {
        const int64_t output = (b.image + i) * g_.outputs + group * g_.group_outputs() + p.first,
                      to = y_.offset + output * plane + blocks_.first_position(b);
        ops_.store_transposed(sums + i * blocks_.image_positions() * p.width, p.width,
                              blocks_.image_positions(b), p.count, y_.dtype, y + to * y_size,
                              plane);
      }
    }
  }
  void multiply(const ConvBlock& b, const ConvPanel& p, const T* in, const T* w, T* sums) const {
    for (const Table& t : tables_[p.vectors - 1]) {
      const ConvTile<T> tile = {in,
                                w,
                                sums,
                                t.steps.data(),
                                static_cast<int64_t>(t.steps.size()),
                                blocks_.x_step(),
                                blocks_.position_step() * p.width,
                                false};
      t.groups.run(ops_.bodies[p.vectors - 1][t.width - 1], tile,
                   blocks_.row_count(t.phase, b) * t.groups.count(blocks_.row_length(t.phase, b)));
    }
  }

  const VectorOps& v_;
  const ConvOps<T>& ops_;
  const Operand x_, w_, y_;
  const ConvGeometry g_;
  const ConvBlocks blocks_;
  const std::vector<ConvPanel> panels_;
  std::vector<Table> tables_[kConvVectors];
  int64_t packed_ = 0, panels_per_task_ = 1, in_scratch_ = 0;
};

// Whether the weights of one window lie one after the other.
bool has_ordered_windows(const Operand& w) {
  int64_t next = 1;
  for (int d = w.sizes.rank() - 1; d >= 2; d--) {
    if (w.sizes[d] > 1 && w.strides[d] != next) return false;
    next *= w.sizes[d];
  }
  return true;
}

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_conv(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (is_complex(t)) return refuse_complex(k.op);
  if (auto kernel = make_narrow_conv(k, *target.vectors)) return kernel;
  if (auto kernel = make_pointwise_conv(k, *target.vectors)) return kernel;
  const auto make = [&](const LibraryKernel& ordered) -> StatusOr<std::unique_ptr<Kernel>> {
    if (auto kernel = make_bf16_conv(ordered, target)) return kernel;
    if (t == DType::f64) return std::unique_ptr<Kernel>(new ConvKernel<double>(ordered, target));
    if (is_float(t)) return std::unique_ptr<Kernel>(new ConvKernel<float>(ordered, target));
    return std::unique_ptr<Kernel>(new ConvKernel<int64_t>(ordered, target));
  };
  return has_ordered_windows(k.operands[1]) ? make(k) : with_contiguous_operand(k, 1, make);
}

}  // namespace moai::cpu
