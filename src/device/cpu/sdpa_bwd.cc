// Attention backward: a task is one group of heads that share keys. Scores are computed again, a
// few panels of queries at a time.
#include "src/device/cpu/attention.h"

namespace moai::cpu {
namespace {

constexpr int kPanelMax = 64;
constexpr int64_t kPanels = 4;  // of queries whose products with keys are added at once

template <class T>
class SdpaBwdKernel : public Kernel {
 public:
  SdpaBwdKernel(const LibraryKernel& k, const Target& target)
      : a_(k, target, 1, 6), grad_(k.operands[0]), o_(k.operands[4]), lse_(k.operands[5]) {
    const size_t n = k.operands.size();
    for (size_t i = 0; i < 3; i++) out_[i] = k.operands[n - 3 + i];
    const int64_t nr = a_.gemm.nr, mr = a_.gemm.mr, depth = kPanels * nr;
    const int64_t scores = round_up(a_.keys * nr, 16);
    int64_t size =
        a_.packed_size(a_.keys, mr, a_.width) + a_.packed_size(a_.keys, mr, a_.value_width) +
        a_.packed_size(a_.width, mr, a_.keys) + a_.packed_size(nr, nr, a_.width) +
        a_.packed_size(nr, nr, a_.value_width) + a_.packed_size(a_.width, nr, depth) +
        a_.packed_size(a_.value_width, nr, depth) + scores * (2 * kPanels + (has_temp() ? 2 : 0)) +
        round_up(depth * mr, 16) + a_.keys * (a_.width + a_.value_width) + a_.width * nr +
        2 * (a_.width + a_.value_width) + a_.keys + 512;
    thread_scratch_ = static_cast<uint64_t>(size) * sizeof(T) + 256;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    context.pool.run(a_.batch * a_.groups, [&](int64_t task, int thread) {
      Work w(*this, context.scratch[thread]);
      run_group(buffers, task / a_.groups, task % a_.groups, w);
    });
    return ok_status();
  }

 private:
  bool has_temp() const { return a_.attrs.has_bias || a_.attrs.dropout > 0; }

  // A thread's memory. Scores and their gradients: kPanels blocks of [key][query].
  struct Work {
    PackedMatrix<T> k_rows, v_rows, k_cols, q_panel, grad_panel, q_lines, grad_lines;
    T *p, *ds, *temp, *mask, *lines, *dk, *dv, *dq, *row, *other;
    float* mask_row;

    Work(const SdpaBwdKernel& s, char* memory) {
      const Attention<T>& a = s.a_;
      const int64_t nr = a.gemm.nr, depth = kPanels * nr, scores = round_up(a.keys * nr, 16);
      T* at = reinterpret_cast<T*>(memory);
      k_rows = a.packed(at, a.keys, a.gemm.mr, a.width);
      v_rows = a.packed(at, a.keys, a.gemm.mr, a.value_width);
      k_cols = a.packed(at, a.width, a.gemm.mr, a.keys);
      q_panel = a.packed(at, nr, a.gemm.nr, a.width);
      grad_panel = a.packed(at, nr, a.gemm.nr, a.value_width);
      q_lines = a.packed(at, a.width, a.gemm.nr, depth);
      grad_lines = a.packed(at, a.value_width, a.gemm.nr, depth);
      const auto next = [&](int64_t n) {
        T* from = at;
        at += round_up(n, 16);
        return from;
      };
      p = next(scores * kPanels), ds = next(scores * kPanels);
      temp = s.has_temp() ? next(scores) : nullptr, mask = s.has_temp() ? next(scores) : nullptr;
      lines = next(depth * a.gemm.mr);
      dk = next(a.keys * a.width), dv = next(a.keys * a.value_width);
      dq = next(a.width * nr), row = next(a.width + a.value_width),
      other = next(a.width + a.value_width);
      mask_row = reinterpret_cast<float*>(next(a.keys));
    }
  };

  void run_group(std::span<char* const> buffers, int64_t b, int64_t g, Work& w) const {
    const MatrixView k = a_.matrix(a_.key, buffers[2], b, g),
                     v = a_.matrix(a_.value, buffers[3], b, g);
    a_.pack(k, a_.keys, a_.width, w.k_rows);
    a_.pack(v, a_.keys, a_.value_width, w.v_rows);
    a_.pack(a_.transposed(k), a_.width, a_.keys, w.k_cols);
    std::fill_n(w.dk, a_.keys * a_.width, T(0));
    std::fill_n(w.dv, a_.keys * a_.value_width, T(0));
    const int64_t per_group = a_.heads / a_.groups, step = kPanels * a_.gemm.nr;
    for (int64_t h = g * per_group; h < (g + 1) * per_group; h++)
      for (int64_t first = 0; first < a_.queries; first += step)
        run_queries(buffers, b, h, first, std::min(step, a_.queries - first), w);
    const int64_t at = (b * a_.groups + g) * a_.keys;
    write(out_[1], buffers[buffers.size() - 2], at * a_.width, w.dk, a_.keys * a_.width);
    write(out_[2], buffers[buffers.size() - 1], at * a_.value_width, w.dv,
          a_.keys * a_.value_width);
  }
  void write(const Operand& x, char* data, int64_t at, const T* from, int64_t n) const {
    GemmType<T>::narrow(a_.v, x.dtype, from,
                        data + (x.offset + at) * static_cast<int64_t>(size_of(x.dtype)), n);
  }

  // Queries [first, first + n) of head h: dq, and their part of dk and dv.
  void run_queries(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first, int64_t n,
                   Work& w) const {
    const int64_t nr = a_.gemm.nr, scores = round_up(a_.keys * nr, 16), panels = (n + nr - 1) / nr;
    const int64_t seen = a_.seen(first, panels * nr);
    for (int64_t i = 0; i < panels; i++)
      run_panel(buffers, b, h, first + i * nr, std::min(nr, n - i * nr), seen, w, w.p + i * scores,
                w.ds + i * scores);
    const MatrixView q = a_.matrix(a_.q, buffers[1], b, h).at(first, 0);
    const MatrixView grad = a_.matrix(grad_, buffers[0], b, h).at(first, 0);
    a_.pack(a_.transposed(grad), a_.value_width, n, w.grad_lines);
    add_products(w.p, seen, n, w.grad_lines, a_.value_width, w.lines, w.dv);
    a_.pack(a_.transposed(q), a_.width, n, w.q_lines);
    add_products(w.ds, seen, n, w.q_lines, a_.width, w.lines, w.dk);
  }

  // c[j][e] += sum over queries i of s[j][i] * x[i][e].
  void add_products(const T* s, int64_t seen, int64_t n, const PackedMatrix<T>& x, int64_t columns,
                    T* lines, T* c) const {
    const int64_t nr = a_.gemm.nr, mr = a_.gemm.mr, scores = round_up(a_.keys * nr, 16);
    const DType type = std::is_same_v<T, float> ? DType::f32 : DType::f64;
    for (int64_t j = 0; j < seen; j += mr) {
      const int64_t m = std::min(mr, seen - j);
      for (int64_t i = 0; i < n; i += nr)
        GemmType<T>::pack(
            a_.v, {reinterpret_cast<const char*>(s + i / nr * scores + j * nr), type, nr, 1}, m,
            std::min(nr, n - i), static_cast<int>(mr), lines + i * mr);
      for (int64_t e = 0; e < columns; e += nr)
        a_.gemm.micro(n, lines, x.panel(0, n, e / nr), c + j * columns + e, columns,
                      static_cast<int>(m), static_cast<int>(std::min(nr, columns - e)), true);
    }
  }

  // One panel: p becomes P * M, ds the gradient of the products q k, and dq is written.
  void run_panel(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first, int64_t n,
                 int64_t group_seen, Work& w, T* p, T* ds) const {
    const int64_t nr = a_.gemm.nr, seen = a_.seen(first, n);
    const int64_t line = (b * a_.heads + h) * a_.queries + first;
    const MatrixView grad = a_.matrix(grad_, buffers[0], b, h).at(first, 0);
    T lse[kPanelMax] = {}, d[kPanelMax] = {};
    for (int64_t i = 0; i < n; i++) {
      lse[i] = static_cast<T>(reinterpret_cast<const float*>(
          buffers[5])[lse_.offset + b * lse_.strides[0] + h * lse_.strides[1] +
                      (first + i) * lse_.strides[2]]);
      d[i] = dot_of(grad.at(i, 0), a_.matrix(o_, buffers[4], b, h).at(first + i, 0), w);
    }
    a_.pack(a_.matrix(a_.q, buffers[1], b, h).at(first, 0), n, a_.width, w.q_panel);
    const T scale = a_.scores(w.k_rows, w.q_panel, buffers, b, h, first, n, seen, p, w.temp);
    a_.rows.exp_columns(p, seen, scale, lse, nullptr);
    a_.pack(grad, n, a_.value_width, w.grad_panel);
    multiply_block(a_.v, w.v_rows, w.grad_panel, a_.value_width, 0, seen, 0, nr, ds, nr, false);
    if (a_.attrs.dropout > 0) {
      a_.dropout_mask(buffers, b, h, first, n, seen, w.mask_row, w.temp, w.mask);
      a_.rows.multiply(ds, w.mask, seen, ds);
    }
    a_.rows.score_grad(p, ds, seen, d, static_cast<T>(a_.attrs.scale));
    if (a_.attrs.dropout > 0) a_.rows.multiply(p, w.mask, seen, p);
    a_.multiply_panel(w.k_cols, a_.width, a_.keys, ds, seen, w.dq);
    for (int64_t i = 0; i < n; i++) {
      for (int64_t e = 0; e < a_.width; e++) w.row[e] = w.dq[e * nr + i];
      write(out_[0], buffers[buffers.size() - 3], (line + i) * a_.width, w.row, a_.width);
    }
    // Keys that only later panels of the group see.
    std::fill_n(p + seen * nr, (group_seen - seen) * nr, T(0));
    std::fill_n(ds + seen * nr, (group_seen - seen) * nr, T(0));
  }

  T dot_of(MatrixView x, MatrixView y, Work& w) const {
    GemmType<T>::pack(a_.v, x, 1, a_.value_width, 1, w.row);
    GemmType<T>::pack(a_.v, y, 1, a_.value_width, 1, w.other);
    T sum = 0;
    for (int64_t f = 0; f < a_.value_width; f++) sum += w.row[f] * w.other[f];
    return sum;
  }

  const Attention<T> a_;
  const Operand grad_, o_, lse_;
  Operand out_[3];
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_sdpa_bwd(const LibraryKernel& k, const Target& target) {
  const SdpaAttrs& a = std::get<SdpaAttrs>(k.attrs);
  if (k.operands.size() != 9u + (a.has_bias ? 1 : 0) + (a.dropout > 0 ? 2 : 0))
    return invalid("[sdpa_bwd] has the wrong number of operands");
  if (k.operands[1].dtype == DType::f64)
    return std::unique_ptr<Kernel>(new SdpaBwdKernel<double>(k, target));
  return std::unique_ptr<Kernel>(new SdpaBwdKernel<float>(k, target));
}

}  // namespace moai::cpu
