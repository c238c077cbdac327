// conv and conv_wgrad with few outputs a group: vectors run along positions.
#include "src/device/cpu/conv_narrow.h"

#include <vector>

#include "src/device/cpu/conv_lines.h"
#include "src/device/cpu/gemm.h"

namespace moai::cpu {
namespace {

constexpr int64_t kInputMax = 32 << 10;  // elements of a block's input
constexpr int64_t kPositionsMin = 256;
constexpr int64_t kGroupsMin = 8;  // of a gradient of weights: a group is one task

int64_t block_positions(const ConvGeometry& g) {
  return std::max(kPositionsMin, kInputMax / std::max<int64_t>(1, g.group_channels()));
}

template <class T>
class NarrowKernel : public Kernel {
 protected:
  // x, y and weight of the forward convolution.
  NarrowKernel(const Operand& x, const Operand& y, const Operand& w, const ConvAttrs& attrs,
               const VectorOps& v)
      : v_(v),
        ops_(GemmType<T>::conv(v)),
        x_(x),
        y_(y),
        w_(w),
        g_(x, y, w, attrs),
        lines_(g_, block_positions(g_)) {
    // Vectors may reach beyond the last element.
    in_scratch_ = round_up(g_.group_channels() * lines_.channel_size() + ops_.lanes, 16);
    line_scratch_ = round_up(lines_.part_size() + ops_.lanes, 16);
    for (const ConvPhase& p : lines_.blocks().phases()) {
      Table t = {p, {}};
      const std::vector<ConvBlocks::Tap> taps = lines_.taps(p);
      for (int64_t c = 0; c < g_.group_channels(); c++)
        for (const ConvBlocks::Tap& tap : taps)
          t.steps.push_back({static_cast<int32_t>(c * lines_.channel_size() + tap.x),
                             static_cast<int32_t>(c * g_.window_size() + tap.tap)});
      tables_.push_back(std::move(t));
    }
  }

  struct Table {
    ConvPhase phase;
    std::vector<ConvStep> steps;
  };

  void copy_input(const char* x, int64_t image, int64_t group, const ConvBlock& b, T* out) const {
    const int64_t size = static_cast<int64_t>(size_of(x_.dtype));
    for (int64_t c = 0; c < g_.group_channels(); c++)
      for (int i = 0; i < lines_.parts(); i++) {
        const ConvLines::Part p = lines_.part(i, x_.dtype, b);
        const int64_t at =
            x_.offset + image * g_.x_batch + (group * g_.group_channels() + c) * g_.x_channel + p.x;
        ops_.copy_image(p.image, x + at * size, out);
        out += lines_.part_size();
      }
  }

  const VectorOps& v_;
  const ConvOps<T>& ops_;
  const Operand x_, y_, w_;
  const ConvGeometry g_;
  const ConvLines lines_;
  std::vector<Table> tables_;
  int64_t in_scratch_ = 0, line_scratch_ = 0;
};

template <class T>
class NarrowConv : public NarrowKernel<T> {
 public:
  NarrowConv(const LibraryKernel& k, const VectorOps& v)
      : NarrowKernel<T>(k.operands[0], k.operands[2], k.operands[1], std::get<ConvAttrs>(k.attrs),
                        v) {
    const int64_t size = static_cast<int64_t>(sizeof(T)), dense = lines_.blocks().image_positions();
    this->thread_scratch_ =
        static_cast<uint64_t>((in_scratch_ + line_scratch_ + dense) * size + 64);
    this->shared_scratch_ = static_cast<uint64_t>(g_.outputs * g_.depth() * size + 64);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    if (g_.batch * g_.result_size() * g_.outputs == 0) return ok_status();
    T* w = reinterpret_cast<T*>(context.shared);
    context.pool.run(g_.outputs, [&](int64_t o, int) { read_filter(buffers[1], o, w); });
    const int64_t blocks = lines_.blocks().count() / g_.batch;  // of an image
    context.pool.run(g_.batch * g_.groups * blocks, [&](int64_t task, int thread) {
      const int64_t block = task % blocks, group = task / blocks % g_.groups,
                    image = task / blocks / g_.groups;
      T* in = reinterpret_cast<T*>(context.scratch[thread]);
      const ConvBlock b = lines_.blocks().block(block);
      this->copy_input(buffers[0], image, group, b, in);
      for (int64_t o = group * g_.group_outputs(); o < (group + 1) * g_.group_outputs(); o++)
        run_output(b, image * g_.outputs + o, w + o * g_.depth(), in, buffers[2]);
    });
    return ok_status();
  }

 private:
  using NarrowKernel<T>::g_, NarrowKernel<T>::lines_, NarrowKernel<T>::ops_, NarrowKernel<T>::v_;
  using NarrowKernel<T>::w_, NarrowKernel<T>::y_, NarrowKernel<T>::tables_;
  using NarrowKernel<T>::in_scratch_, NarrowKernel<T>::line_scratch_;

  void read_filter(const char* w, int64_t o, T* out) const {
    const int64_t size = static_cast<int64_t>(size_of(w_.dtype));
    for (int64_t i = 0; i < g_.depth(); i++) {
      int64_t at = w_.offset + o * w_.strides[0], left = i;
      for (int d = w_.sizes.rank() - 1; d >= 1; d--)
        at += left % w_.sizes[d] * w_.strides[d], left /= w_.sizes[d];
      GemmType<T>::pack(v_, {w + at * size, w_.dtype, 1, 1}, 1, 1, 1, out + o * g_.depth() + i);
    }
  }
  // One image of one output.
  void run_output(const ConvBlock& b, int64_t plane, const T* w, T* in, char* y) const {
    T* line = in + in_scratch_;
    char* to = y + (y_.offset + plane * g_.result_size() + lines_.blocks().first_position(b)) *
                       static_cast<int64_t>(size_of(y_.dtype));
    const bool is_direct = GemmType<T>::is_direct(y_.dtype);
    T* dense = is_direct ? reinterpret_cast<T*>(to) : line + line_scratch_;
    for (const auto& t : tables_) {
      const ConvLines::Line l = lines_.line(t.phase, b);
      ops_.add_lines(in, t.steps.data(), static_cast<int64_t>(t.steps.size()), w, l.length, line);
      store_line(t.phase, l, line, dense);
    }
    if (!is_direct)
      GemmType<T>::narrow(v_, y_.dtype, dense, to, lines_.blocks().image_positions(b));
  }
  void store_line(const ConvPhase& p, const ConvLines::Line& l, const T* line, T* dense) const {
    const int64_t step = lines_.axis_step(2);
    for (int64_t i = 0; i < l.rows[0]; i++)
      for (int64_t j = 0; j < l.rows[1]; j++) {
        const int64_t z = p.index[0] + i * lines_.axis_step(0),
                      y = p.index[1] + j * lines_.axis_step(1);
        const T* from = line + i * l.step[0] + j * l.step[1];
        T* to = dense + (z * g_.out[1] + y) * g_.out[2] + p.index[2];
        if (step == 1)
          std::copy_n(from, l.rows[2], to);
        else
          for (int64_t x = 0; x < l.rows[2]; x++) to[x * step] = from[x];
      }
  }
};

template <class T>
class NarrowWgrad : public NarrowKernel<T> {
 public:
  NarrowWgrad(const LibraryKernel& k, const VectorOps& v)
      : NarrowKernel<T>(k.operands[0], k.operands[1], k.operands[2], std::get<ConvAttrs>(k.attrs),
                        v) {
    this->thread_scratch_ =
        static_cast<uint64_t>((in_scratch_ + line_scratch_ + g_.group_outputs() * g_.depth()) *
                                  static_cast<int64_t>(sizeof(T)) +
                              64);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t weights = g_.group_outputs() * g_.depth(),
                  size = static_cast<int64_t>(size_of(w_.dtype));
    context.pool.run(g_.groups, [&](int64_t group, int thread) {
      T* in = reinterpret_cast<T*>(context.scratch[thread]);
      T* sums = in + in_scratch_ + line_scratch_;
      std::fill_n(in, in_scratch_, T(0));
      std::fill_n(sums, weights, T(0));
      const int64_t blocks = lines_.blocks().count() / std::max<int64_t>(1, g_.batch);
      for (int64_t i = 0; i < g_.batch * blocks; i++)
        add_block(buffers[0], buffers[1], i / blocks, group, lines_.blocks().block(i % blocks), in,
                  sums);
      GemmType<T>::narrow(v_, w_.dtype, sums, buffers[2] + (w_.offset + group * weights) * size,
                          weights);
    });
    return ok_status();
  }

 private:
  using NarrowKernel<T>::g_, NarrowKernel<T>::lines_, NarrowKernel<T>::ops_, NarrowKernel<T>::v_;
  using NarrowKernel<T>::w_, NarrowKernel<T>::y_, NarrowKernel<T>::tables_;
  using NarrowKernel<T>::in_scratch_, NarrowKernel<T>::line_scratch_;

  void add_block(const char* x, const char* dy, int64_t image, int64_t group, const ConvBlock& b,
                 T* in, T* sums) const {
    this->copy_input(x, image, group, b, in);
    T* line = in + in_scratch_;
    const auto& t = tables_.front();
    const int64_t length = lines_.line(t.phase, b).length, padded = round_up(length, ops_.lanes),
                  size = static_cast<int64_t>(size_of(y_.dtype));
    for (int64_t o = 0; o < g_.group_outputs(); o++) {
      const int64_t plane = image * g_.outputs + group * g_.group_outputs() + o;
      ops_.copy_image(lines_.gradient(y_.dtype, b, 1),
                      dy + (y_.offset + plane * g_.result_size()) * size, line);
      std::fill_n(line + length, padded - length, T(0));
      ops_.multiply_lines(in, t.steps.data(), static_cast<int64_t>(t.steps.size()), line, padded,
                          sums + o * g_.depth());
    }
  }
};

bool is_narrow(const ConvGeometry& g, int lanes) {
  return g.group_outputs() * 4 <= lanes && g.depth() > 0;
}

}  // namespace

std::unique_ptr<Kernel> make_narrow_conv(const LibraryKernel& k, const VectorOps& v) {
  const DType t = k.operands[0].dtype;
  const ConvGeometry g(k.operands[0], k.operands[2], k.operands[1], std::get<ConvAttrs>(k.attrs));
  if (t == DType::f64 && is_narrow(g, v.conv_f64.lanes))
    return std::make_unique<NarrowConv<double>>(k, v);
  if (t != DType::f64 && is_float(t) && is_narrow(g, v.conv_f32.lanes))
    return std::make_unique<NarrowConv<float>>(k, v);
  return nullptr;
}

std::unique_ptr<Kernel> make_narrow_wgrad(const LibraryKernel& k, const VectorOps& v) {
  const DType t = k.operands[0].dtype;
  const ConvGeometry g(k.operands[0], k.operands[1], k.operands[2], std::get<ConvAttrs>(k.attrs));
  if (g.groups < kGroupsMin || g.batch * g.result_size() == 0) return nullptr;
  for (int64_t lhs : g.lhs_dilation)
    if (lhs != 1) return nullptr;
  if (t == DType::f64 && is_narrow(g, v.conv_f64.lanes))
    return std::make_unique<NarrowWgrad<double>>(k, v);
  if (t != DType::f64 && is_float(t) && is_narrow(g, v.conv_f32.lanes))
    return std::make_unique<NarrowWgrad<float>>(k, v);
  return nullptr;
}

}  // namespace moai::cpu
