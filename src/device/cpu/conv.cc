// conv as an implicit matrix product: weights are packed once, columns of the unfolded image panel
// by panel.
#include <vector>

#include "src/device/cpu/conv_geometry.h"
#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int kPanelMax = 64;

template <class T>
class ConvKernel : public Kernel {
 public:
  ConvKernel(const LibraryKernel& k, const Target& target)
      : v_(*target.vectors),
        ops_(GemmType<T>::ops(v_)),
        x_(k.operands[0]),
        w_(k.operands[1]),
        y_(k.operands[2]),
        g_(x_, y_, w_, std::get<ConvAttrs>(k.attrs)) {
    const int64_t m = g_.group_outputs(), depth = g_.depth();
    padded_ = round_up(m, ops_.mr);
    packed_ = padded_ * depth * g_.groups;
    w_contiguous_ = contiguous_strides(w_.sizes);
    shared_scratch_ = static_cast<uint64_t>(packed_) * sizeof(T) + 64 +
                      static_cast<uint64_t>(w_.sizes.numel()) * size_of(w_.dtype);
    thread_scratch_ = static_cast<uint64_t>((depth + padded_) * ops_.nr) * sizeof(T) + 128;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t columns = g_.batch * g_.result_size();
    if (columns * g_.outputs == 0) return ok_status();
    pack_weights(buffers[1], context);
    const int64_t panels = (columns + ops_.nr - 1) / ops_.nr;
    // 16 panels share the weights in the second cache.
    const int64_t per_task = std::clamp<int64_t>(panels / 64, 1, 16),
                  tasks = (panels + per_task - 1) / per_task;
    context.pool.run(tasks * g_.groups, [&](int64_t task, int thread) {
      const int64_t group = task / tasks, first = task % tasks * per_task;
      for (int64_t p = first; p < std::min(panels, first + per_task); p++)
        run_panel(buffers[0], buffers[2], group, p * ops_.nr, context.shared,
                  context.scratch[thread]);
    });
    return ok_status();
  }

 private:
  void pack_weights(const char* w, RunContext& context) const {
    const int64_t m = g_.group_outputs(), depth = g_.depth(),
                  size = static_cast<int64_t>(size_of(w_.dtype));
    const char* from = w + w_.offset * size;
    if (w_.strides != w_contiguous_) {
      char* copy = context.shared + round_up(packed_ * static_cast<int64_t>(sizeof(T)), 64);
      const int64_t row = w_.sizes.numel() / std::max<int64_t>(1, g_.outputs);
      context.pool.run(g_.outputs, [&](int64_t o, int) { copy_filter(from, copy, o, row, size); });
      from = copy;
    }
    const int64_t panels = padded_ / ops_.mr;
    context.pool.run(panels * g_.groups, [&](int64_t i, int) {
      const int64_t group = i / panels;
      const MatrixView a = {from + group * m * depth * size, w_.dtype, depth, 1};
      pack_panels(v_, a, m, depth, i % panels, 1, weights(context.shared, group));
    });
  }
  void copy_filter(const char* from, char* to, int64_t o, int64_t row, int64_t size) const {
    for (int64_t i = 0; i < row; i++) {
      int64_t at = o * w_.strides[0], left = i;
      for (int d = w_.sizes.rank() - 1; d >= 1; d--)
        at += left % w_.sizes[d] * w_.strides[d], left /= w_.sizes[d];
      std::copy_n(from + at * size, size, to + (o * row + i) * size);
    }
  }
  PackedMatrix<T> weights(char* shared, int64_t group) const {
    return {reinterpret_cast<T*>(shared) + group * padded_ * g_.depth(), padded_, ops_.mr};
  }

  // Columns [first, first + nr) of all outputs of a group.
  void run_panel(const char* x, char* y, int64_t group, int64_t first, char* shared,
                 char* scratch) const {
    const int64_t plane = g_.result_size(), columns = g_.batch * plane, m = g_.group_outputs(),
                  depth = g_.depth();
    const int n = static_cast<int>(std::min<int64_t>(ops_.nr, columns - first));
    T* b = reinterpret_cast<T*>(scratch);
    T* sums = b + depth * ops_.nr;
    const int64_t size = static_cast<int64_t>(size_of(x_.dtype)), window = g_.window_size();
    const char* from = x + (x_.offset + group * g_.group_channels() * g_.x_channel) * size;
    Run runs[kPanelMax];
    for (int64_t q = 0; q < window; q++) {
      const int count = g_.runs_of(q, first, n, runs);
      GemmType<T>::fill(v_, x_.dtype, from, g_.x_channel, g_.group_channels(), runs, count, ops_.nr,
                        b + q * ops_.nr, window * ops_.nr);
    }
    const PackedMatrix<T> pb = {b, ops_.nr, ops_.nr};
    const int64_t image = first / plane, column = first % plane;
    const int64_t y_at = y_.offset + (image * g_.outputs + group * m) * plane + column;
    if (GemmType<T>::is_direct(y_.dtype) && column + n <= plane) {
      multiply_block(v_, weights(shared, group), pb, depth, 0, m, 0, n,
                     reinterpret_cast<T*>(y) + y_at, plane, false);
      return;
    }
    multiply_block(v_, weights(shared, group), pb, depth, 0, m, 0, n, sums, ops_.nr, false);
    const int64_t out_size = static_cast<int64_t>(size_of(y_.dtype));
    for (int64_t o = 0; o < m; o++)
      for (int64_t j = 0; j < n;) {  // a piece for each image
        const int64_t at = first + j, len = std::min(n - j, plane - at % plane);
        const int64_t to =
            y_.offset + (at / plane * g_.outputs + group * m + o) * plane + at % plane;
        GemmType<T>::narrow(v_, y_.dtype, sums + o * ops_.nr + j, y + to * out_size, len);
        j += len;
      }
  }

  const VectorOps& v_;
  const GemmOps<T>& ops_;
  const Operand x_, w_, y_;
  const ConvGeometry g_;
  Shape w_contiguous_;
  int64_t padded_ = 0, packed_ = 0;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_conv(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (is_complex(t)) return unimplemented("[conv] has no kernel for complex numbers");
  if (t == DType::f64) return std::unique_ptr<Kernel>(new ConvKernel<double>(k, target));
  if (is_float(t)) return std::unique_ptr<Kernel>(new ConvKernel<float>(k, target));
  return std::unique_ptr<Kernel>(new ConvKernel<int64_t>(k, target));
}

}  // namespace moai::cpu
