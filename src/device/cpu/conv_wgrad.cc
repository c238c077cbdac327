// conv_wgrad: dy times the unfolded image, summed over images and positions in fixed parts.
#include <vector>

#include "src/device/cpu/conv_geometry.h"
#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kPositions = kGemmDepth;  // summed at a time: one slab
constexpr int64_t kPartsMax = 16;
constexpr int64_t kPartBytesMax = 32 << 20;  // of partial sums
constexpr int64_t kPanels = 8;               // of columns in a task

template <class T>
class WgradKernel : public Kernel {
 public:
  WgradKernel(const LibraryKernel& k, const Target& target)
      : v_(*target.vectors),
        ops_(GemmType<T>::ops(v_)),
        x_(k.operands[0]),
        dy_(k.operands[1]),
        dw_(k.operands[2]),
        g_(x_, dy_, dw_, std::get<ConvAttrs>(k.attrs)) {
    const int64_t m = g_.group_outputs(),
                  weight_bytes = g_.outputs * g_.depth() * static_cast<int64_t>(sizeof(T));
    positions_ = g_.batch * g_.result_size();
    padded_ = round_up(m, ops_.mr);
    const int64_t slabs = std::max<int64_t>(1, (positions_ + kPositions - 1) / kPositions);
    parts_ = std::min({kPartsMax, slabs,
                       std::max<int64_t>(1, kPartBytesMax / std::max<int64_t>(1, weight_bytes))});
    part_slabs_ = (slabs + parts_ - 1) / parts_;
    parts_ = (slabs + part_slabs_ - 1) / part_slabs_;
    col_tasks_ = (g_.depth() + kPanels * ops_.nr - 1) / (kPanels * ops_.nr);
    shared_scratch_ = static_cast<uint64_t>(parts_ * weight_bytes) + 64;
    // dy packed, one panel of columns packed, and the same before its transposition.
    thread_scratch_ = static_cast<uint64_t>((padded_ + 2 * ops_.nr) * kPositions) * sizeof(T) + 256;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t weights = g_.outputs * g_.depth();
    if (weights == 0) return ok_status();
    T* partial = reinterpret_cast<T*>(context.shared);
    context.pool.run(g_.groups * parts_ * col_tasks_, [&](int64_t task, int thread) {
      const int64_t col = task % col_tasks_, part = task / col_tasks_ % parts_,
                    group = task / col_tasks_ / parts_;
      run_part(buffers[0], buffers[1], group, part, col * kPanels, partial,
               context.scratch[thread]);
    });
    constexpr int64_t kChunk = 4096;
    const int64_t size = static_cast<int64_t>(size_of(dw_.dtype));
    context.pool.run((weights + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
      const int64_t at = chunk * kChunk, n = std::min(kChunk, weights - at);
      for (int64_t p = 1; p < parts_; p++)
        for (int64_t i = at; i < at + n; i++) partial[i] += partial[p * weights + i];
      GemmType<T>::narrow(v_, dw_.dtype, partial + at, buffers[2] + (dw_.offset + at) * size, n);
    });
    return ok_status();
  }

 private:
  void run_part(const char* x, const char* dy, int64_t group, int64_t part, int64_t first_panel,
                T* partial, char* scratch) const {
    const int64_t m = g_.group_outputs(), depth = g_.depth();
    T* c = partial + (part * g_.outputs + group * m) * depth;
    const PackedMatrix<T> a = {reinterpret_cast<T*>(scratch), padded_, ops_.mr};
    const PackedMatrix<T> b = {a.data + padded_ * kPositions, ops_.nr, ops_.nr};
    T* rows = b.data + ops_.nr * kPositions;
    const int64_t first_slab = part * part_slabs_;
    const int64_t last_slab =
        std::min(first_slab + part_slabs_, (positions_ + kPositions - 1) / kPositions);
    if (first_slab >= last_slab)
      for (int64_t o = 0; o < m; o++) std::fill_n(c + o * depth, depth, T(0));
    for (int64_t slab = first_slab; slab < last_slab; slab++) {
      const int64_t first = slab * kPositions, n = std::min(kPositions, positions_ - first);
      pack_dy(dy, group, first, n, a);
      for (int64_t p = first_panel; p < first_panel + kPanels && p * ops_.nr < depth; p++) {
        const int64_t k0 = p * ops_.nr, k1 = std::min(depth, k0 + ops_.nr);
        unfold(x, group, first, static_cast<int>(n), k0, k1, rows);
        GemmType<T>::pack(v_, {reinterpret_cast<const char*>(rows), type_of_panel(), n, 1}, k1 - k0,
                          n, ops_.nr, b.data);
        for (int64_t i = 0; i < m; i += ops_.mr)
          ops_.micro(n, a.data + i * n, b.data, c + i * depth + k0, depth,
                     static_cast<int>(std::min<int64_t>(ops_.mr, m - i)), static_cast<int>(k1 - k0),
                     slab > first_slab);
      }
    }
  }

  static DType type_of_panel() {
    return std::is_same_v<T, float>    ? DType::f32
           : std::is_same_v<T, double> ? DType::f64
                                       : DType::i64;
  }

  // Panels of mr outputs by n positions, image by image.
  void pack_dy(const char* dy, int64_t group, int64_t first, int64_t n,
               const PackedMatrix<T>& a) const {
    const int64_t plane = g_.result_size(), m = g_.group_outputs(),
                  size = static_cast<int64_t>(size_of(dy_.dtype));
    for (int64_t i = 0; i < m; i += ops_.mr)
      for (int64_t done = 0; done < n;) {
        const int64_t at = first + done, len = std::min(n - done, plane - at % plane);
        const int64_t from =
            dy_.offset + (at / plane * g_.outputs + group * m + i) * plane + at % plane;
        GemmType<T>::pack(v_, {dy + from * size, dy_.dtype, plane, 1},
                          std::min<int64_t>(ops_.mr, m - i), len, ops_.mr,
                          a.data + i * n + done * ops_.mr);
        done += len;
      }
  }

  // rows[k - k0] = what weight k meets at positions [first, first + n).
  void unfold(const char* x, int64_t group, int64_t first, int n, int64_t k0, int64_t k1,
              T* rows) const {
    const int64_t window = g_.window_size(), size = static_cast<int64_t>(size_of(x_.dtype));
    Run runs[kPositions];
    for (int64_t q = 0; q < window; q++) {
      // Channels whose element q lies in [k0, k1).
      const int64_t c0 = k0 > q ? (k0 - q + window - 1) / window : 0,
                    c1 = k1 > q ? (k1 - q + window - 1) / window : 0;
      if (c0 >= c1) continue;
      const int count = g_.runs_of(q, first, n, runs);
      const char* from = x + (x_.offset + (group * g_.group_channels() + c0) * g_.x_channel) * size;
      GemmType<T>::fill(v_, x_.dtype, from, g_.x_channel, c1 - c0, runs, count, n,
                        rows + (c0 * window + q - k0) * n, window * n);
    }
  }

  const VectorOps& v_;
  const GemmOps<T>& ops_;
  const Operand x_, dy_, dw_;
  const ConvGeometry g_;
  int64_t positions_ = 0, padded_ = 0, parts_ = 1, part_slabs_ = 1, col_tasks_ = 1;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_conv_wgrad(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (is_complex(t)) return unimplemented("[conv_wgrad] has no kernel for complex numbers");
  if (k.operands[1].strides != contiguous_strides(k.operands[1].sizes))
    return unimplemented("[conv_wgrad] needs a contiguous gradient");
  if (t == DType::f64) return std::unique_ptr<Kernel>(new WgradKernel<double>(k, target));
  if (is_float(t)) return std::unique_ptr<Kernel>(new WgradKernel<float>(k, target));
  return std::unique_ptr<Kernel>(new WgradKernel<int64_t>(k, target));
}

}  // namespace moai::cpu
