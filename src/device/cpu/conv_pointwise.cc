// conv of one tap over images without gaps: a matrix product that reads the channels' rows where
// they lie and stores the outputs' rows, so nothing is copied but the last, incomplete columns.
#include "src/device/cpu/conv_pointwise.h"

#include "src/device/cpu/conv_geometry.h"
#include "src/device/cpu/gemm.h"

namespace moai::cpu {
namespace {

constexpr int64_t kPanels = 8;  // of columns in a task

template <class T>
class PointwiseKernel : public Kernel {
 public:
  PointwiseKernel(const LibraryKernel& k, const VectorOps& v)
      : v_(v),
        ops_(GemmType<T>::conv(v_)),
        x_(k.operands[0]),
        w_(k.operands[1]),
        y_(k.operands[2]),
        g_(x_, y_, w_, std::get<ConvAttrs>(k.attrs)) {
    const int64_t size = static_cast<int64_t>(sizeof(T)), channels = g_.group_channels();
    padded_ = round_up(g_.group_outputs(), ops_.rows);
    shared_scratch_ = static_cast<uint64_t>(padded_ * channels * g_.groups * size + 64);
    thread_scratch_ = static_cast<uint64_t>(channels * ops_.cols * size + 64);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t plane = g_.result_size(), columns = kPanels * ops_.cols,
                  blocks = (plane + columns - 1) / columns, panels = padded_ / ops_.rows;
    if (g_.batch * plane * g_.outputs == 0) return ok_status();
    const T* x = reinterpret_cast<const T*>(buffers[0]) + x_.offset;
    T* y = reinterpret_cast<T*>(buffers[2]) + y_.offset;
    context.pool.run(panels * g_.groups, [&](int64_t i, int) {
      pack_panel(buffers[1], i / panels, i % panels, context.shared);
    });
    context.pool.run(blocks * g_.groups * g_.batch, [&](int64_t task, int thread) {
      const int64_t block = task % blocks, group = task / blocks % g_.groups,
                    image = task / blocks / g_.groups;
      const T* from = x + image * g_.x_batch + group * g_.group_channels() * g_.x_channel;
      T* to = y + (image * g_.outputs + group * g_.group_outputs()) * plane;
      const int64_t last = std::min(plane, (block + 1) * columns);
      for (int64_t j = block * columns; j < last; j += ops_.cols)
        run_panel(from + j, std::min<int64_t>(ops_.cols, last - j), weights(context.shared, group),
                  to + j, reinterpret_cast<T*>(context.scratch[thread]));
    });
    return ok_status();
  }

 private:
  T* weights(char* shared, int64_t group) const {
    return reinterpret_cast<T*>(shared) + group * padded_ * g_.group_channels();
  }
  void pack_panel(const char* w, int64_t group, int64_t panel, char* shared) const {
    const int64_t first = panel * ops_.rows, channels = g_.group_channels(),
                  at = w_.offset + (group * g_.group_outputs() + first) * w_.strides[0],
                  count = std::min<int64_t>(ops_.rows, g_.group_outputs() - first);
    const MatrixView from = {w + at * static_cast<int64_t>(size_of(w_.dtype)), w_.dtype,
                             w_.strides[0], w_.strides[1]};
    GemmType<T>::pack(v_, from, count, channels, ops_.rows,
                      weights(shared, group) + first * channels);
  }
  void run_panel(const T* x, int64_t count, const T* w, T* y, T* scratch) const {
    const int64_t channels = g_.group_channels(), outputs = g_.group_outputs();
    int64_t x_row = g_.x_channel;
    if (count < ops_.cols) {  // a whole vector must be there to read
      for (int64_t c = 0; c < channels; c++) {
        std::copy_n(x + c * x_row, count, scratch + c * ops_.cols);
        std::fill_n(scratch + c * ops_.cols + count, ops_.cols - count, T(0));
      }
      x = scratch, x_row = ops_.cols;
    }
    for (int64_t i = 0; i < outputs; i += ops_.rows)
      ops_.mix_channels(
          channels, w + i * channels, x, x_row, y + i * g_.result_size(), g_.result_size(),
          static_cast<int>(std::min<int64_t>(ops_.rows, outputs - i)), static_cast<int>(count));
  }

  const VectorOps& v_;
  const ConvOps<T>& ops_;
  const Operand x_, w_, y_;
  const ConvGeometry g_;
  int64_t padded_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_pointwise_conv(const LibraryKernel& k, const VectorOps& v) {
  const Operand &x = k.operands[0], &y = k.operands[2];
  if (x.dtype != y.dtype) return nullptr;
  const ConvGeometry g(x, y, k.operands[1], std::get<ConvAttrs>(k.attrs));
  int64_t next = 1;
  for (int d = 2; d >= 0; d--) {
    if (g.window[d] != 1 || g.stride[d] != 1 || g.lhs_dilation[d] != 1 || g.pad[d] != 0 ||
        g.in[d] != g.out[d] || (g.in[d] > 1 && g.x_step[d] != next))
      return nullptr;
    next *= g.in[d];
  }
  const int cols = x.dtype == DType::f64 ? v.conv_f64.cols : v.conv_f32.cols;
  // Small images would leave most of their last columns empty.
  if (g.result_size() * 5 < round_up(g.result_size(), cols) * 4) return nullptr;
  if (x.dtype == DType::f32) return std::make_unique<PointwiseKernel<float>>(k, v);
  if (x.dtype == DType::f64) return std::make_unique<PointwiseKernel<double>>(k, v);
  return nullptr;
}

}  // namespace moai::cpu
