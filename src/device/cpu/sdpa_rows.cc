// Attention of a few queries against many keys, as in decoding with a key/value cache. Bound by
// reading keys and values once, so they are not packed. A task is one group of heads that share
// them.
#include "src/device/cpu/attention.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kBlock = 128;  // keys that are widened, or whose values are summed, at a time

class SdpaRowsKernel : public Kernel {
 public:
  SdpaRowsKernel(const LibraryKernel& k, const Target& target)
      : a_(k, target, 0, 3), out_(k), heads_(a_.heads / a_.groups), rows_(heads_ * a_.queries) {
    const int64_t sizes[kParts] = {
        rows_ * a_.width, rows_ * a_.keys, rows_ * a_.value_width,
        a_.value_width,   a_.keys,         kBlock * std::max(a_.width, a_.value_width)};
    for (int i = 0; i < kParts; i++) work_at_[i + 1] = work_at_[i] + round_up(sizes[i], 16);
    thread_scratch_ = sizeof(float) * static_cast<uint64_t>(work_at_[kParts]) + 64;
  }

  static bool fits(const LibraryKernel& k) {
    const auto is_in_lines = [](const Operand& x) { return x.sizes[3] == 1 || x.strides[3] == 1; };
    const Operand &q = k.operands[0], &key = k.operands[1], &value = k.operands[2];
    if (key.sizes[1] == 0) return false;
    const int64_t rows = q.sizes[1] / key.sizes[1] * q.sizes[2];
    return q.dtype != DType::f64 && std::get<SdpaAttrs>(k.attrs).dropout == 0 && rows >= 1 &&
           rows <= kSkinnyRows && is_in_lines(key) && is_in_lines(value);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    context.pool.run(a_.batch * a_.groups, [&](int64_t task, int thread) {
      const Work w(work_at_, reinterpret_cast<float*>(context.scratch[thread]));
      run_group(buffers, task / a_.groups, task % a_.groups, w);
    });
    return ok_status();
  }

 private:
  struct Work {  // a thread's memory
    float *q, *scores, *out, *part, *bias, *wide;
    Work(const int64_t* at, float* m)
        : q(m + at[0]),
          scores(m + at[1]),
          out(m + at[2]),
          part(m + at[3]),
          bias(m + at[4]),
          wide(m + at[5]) {}
  };

  int64_t head_of(int64_t g, int64_t row) const { return g * heads_ + row / a_.queries; }

  // `n` lines from `first` on as f32, side by side along a line, and the distance of two lines.
  std::pair<const float*, int64_t> lines(MatrixView m, int64_t first, int64_t n, int64_t width,
                                         const Work& w) const {
    if (m.dtype == DType::f32) return {reinterpret_cast<const float*>(m.at(first, 0).data), m.row};
    for (int64_t i = 0; i < n; i++)
      a_.v.to_f32(m.dtype, m.at(first + i, 0).data, 1, w.wide + i * width, width);
    return {w.wide, width};
  }

  void run_group(std::span<char* const> buffers, int64_t b, int64_t g, const Work& w) const {
    const MatrixView keys = a_.matrix(a_.key, buffers[1], b, g),
                     values = a_.matrix(a_.value, buffers[2], b, g);
    for (int64_t r = 0; r < rows_; r++)
      a_.line(a_.matrix(a_.q, buffers[0], b, head_of(g, r)).at(r % a_.queries, 0), a_.width,
              w.q + r * a_.width);
    for (int64_t j = 0; j < a_.keys; j += kBlock) {
      const int64_t n = std::min(kBlock, a_.keys - j);
      const auto [from, line] = lines(keys, j, n, a_.width, w);
      a_.v.skinny_dots[rows_ - 1](a_.width, w.q, from, line, n, w.scores + j, a_.keys);
    }
    float shift[kSkinnyRows], sum[kSkinnyRows];
    for (int64_t r = 0; r < rows_; r++) softmax(buffers, b, g, r, w, shift[r], sum[r]);
    std::fill_n(w.out, rows_ * a_.value_width, 0.0f);
    for (int64_t j = 0; j < a_.keys; j += kBlock) {
      const int64_t n = std::min(kBlock, a_.keys - j);
      const auto [from, line] = lines(values, j, n, a_.value_width, w);
      for (int64_t r = 0; r < rows_; r++) {
        a_.v.skinny_rows[0](n, w.scores + r * a_.keys + j, from, line, a_.value_width, w.part,
                            a_.value_width);
        a_.v.add_f32(w.part, w.out + r * a_.value_width, a_.value_width);
      }
    }
    for (int64_t r = 0; r < rows_; r++)
      out_.write(a_.v, buffers, (b * a_.heads + head_of(g, r)) * a_.queries + r % a_.queries,
                 w.out + r * a_.value_width, a_.value_width, shift[r], sum[r]);
  }

  // The row's scores become their exponentials above `shift`; a key that its query does not see
  // gets 0.
  void softmax(std::span<char* const> buffers, int64_t b, int64_t g, int64_t r, const Work& w,
               float& shift, float& sum) const {
    const int64_t query = r % a_.queries, seen = a_.seen(query, 1);
    float* s = w.scores + r * a_.keys;
    float scale = static_cast<float>(a_.attrs.scale);
    if (a_.attrs.has_bias) {
      a_.line(a_.bias(buffers, b, head_of(g, r)).at(query, 0), seen, w.bias);
      for (int64_t j = 0; j < seen; j++) s[j] = s[j] * scale + w.bias[j];
      scale = 1;
    } else if (!(scale > 0)) {  // the largest score is not the one with the largest product
      for (int64_t j = 0; j < seen; j++) s[j] *= scale;
      scale = 1;
    }
    shift = a_.rows.row_max(s, seen) * scale;
    if (std::isinf(shift)) shift = 0;
    sum = a_.rows.exp_row(s, seen, scale, shift);
    std::fill_n(s + seen, a_.keys - seen, 0.0f);
  }

  const Attention<float> a_;
  const AttentionRows<float> out_;
  const int64_t heads_;  // of a group
  const int64_t rows_;   // queries of a group
  static constexpr int kParts = 6;
  int64_t work_at_[kParts + 1] = {};  // where the parts of Work begin
};

}  // namespace

std::unique_ptr<Kernel> make_sdpa_rows(const LibraryKernel& k, const Target& target) {
  if (!SdpaRowsKernel::fits(k)) return nullptr;
  return std::make_unique<SdpaRowsKernel>(k, target);
}

}  // namespace moai::cpu
