// Attention forward: a task is one head (or a part of its queries) against all keys.
#include "src/device/cpu/attention.h"

namespace moai::cpu {
namespace {

template <class T>
class SdpaKernel : public Kernel {
 public:
  SdpaKernel(const LibraryKernel& k, const Target& target) : a_(k, target, 0, 3), out_(k) {
    const int64_t nr = a_.gemm.nr;
    blocks_ = (a_.queries + nr - 1) / nr;
    // Few heads: several tasks a head, each packing the keys again.
    parts_ =
        a_.batch * a_.heads >= 16 ? 1 : std::min<int64_t>(4, std::max<int64_t>(1, blocks_ / 2));
    int64_t n = a_.packed_size(a_.keys, a_.gemm.mr, a_.width) +
                a_.packed_size(a_.value_width, a_.gemm.mr, a_.keys) +
                a_.packed_size(nr, a_.gemm.nr, a_.width) +
                round_up(a_.keys * nr, 16) * (has_temp() ? 3 : 1) +
                round_up(a_.value_width * nr, 16) * 2 + round_up(a_.keys, 16);
    thread_scratch_ = static_cast<uint64_t>(n) * sizeof(T) + 256;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    context.pool.run(a_.batch * a_.heads * parts_, [&](int64_t task, int thread) {
      const int64_t part = task % parts_, h = task / parts_ % a_.heads,
                    b = task / parts_ / a_.heads;
      run_head(buffers, b, h, blocks_ * part / parts_, blocks_ * (part + 1) / parts_,
               context.scratch[thread]);
    });
    return ok_status();
  }

 private:
  bool has_temp() const { return a_.attrs.has_bias || a_.attrs.dropout > 0; }

  void run_head(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first_block,
                int64_t last_block, char* memory) const {
    const int64_t nr = a_.gemm.nr, g = a_.group_of(h);
    T* scratch = reinterpret_cast<T*>(memory);
    const PackedMatrix<T> keys = a_.packed(scratch, a_.keys, a_.gemm.mr, a_.width);
    const PackedMatrix<T> values = a_.packed(scratch, a_.value_width, a_.gemm.mr, a_.keys);
    const PackedMatrix<T> q = a_.packed(scratch, nr, a_.gemm.nr, a_.width);
    T* s = scratch;
    T* o = s + round_up(a_.keys * nr, 16) * (has_temp() ? 3 : 1);
    T* row = o + round_up(a_.value_width * nr, 16);
    float* mask_row = reinterpret_cast<float*>(row + round_up(a_.value_width * nr, 16));
    const int64_t seen_keys = a_.seen(std::max<int64_t>(0, (last_block - 1) * nr), nr);
    const PackedMatrix<T> seen = {keys.data, round_up(seen_keys, a_.gemm.mr), a_.gemm.mr};
    a_.pack(a_.matrix(a_.key, buffers[1], b, g), seen_keys, a_.width, seen);
    a_.pack(a_.transposed(a_.matrix(a_.value, buffers[2], b, g)), a_.value_width, seen_keys,
            values);
    for (int64_t block = first_block; block < last_block; block++)
      run_block(buffers, b, h, block * nr, seen, values, q, seen_keys, s, o, row, mask_row);
  }

  void run_block(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first,
                 const PackedMatrix<T>& keys, const PackedMatrix<T>& values,
                 const PackedMatrix<T>& q, int64_t packed_keys, T* s, T* o, T* row,
                 float* mask_row) const {
    const int64_t nr = a_.gemm.nr, n = std::min(nr, a_.queries - first), seen = a_.seen(first, n);
    T *temp = s + round_up(a_.keys * nr, 16), *mask = temp + round_up(a_.keys * nr, 16);
    a_.pack(a_.matrix(a_.q, buffers[0], b, h).at(first, 0), n, a_.width, q);
    const T scale = a_.scores(keys, q, buffers, b, h, first, n, seen, s, temp);
    T shift[kPanelMax], sum[kPanelMax];
    a_.rows.column_max(s, seen, shift);
    for (int64_t i = 0; i < nr; i++) {
      shift[i] *= scale;
      if (std::isinf(shift[i])) shift[i] = 0;
    }
    a_.rows.exp_columns(s, seen, scale, shift, sum);
    if (a_.attrs.dropout > 0) {
      a_.dropout_mask(buffers, b, h, first, n, seen, mask_row, temp, mask);
      a_.rows.multiply(s, mask, seen, s);
    }
    a_.multiply_panel(values, a_.value_width, packed_keys, s, seen, o);
    const int64_t at = (b * a_.heads + h) * a_.queries + first;
    for (int64_t i = 0; i < n; i++) {
      for (int64_t f = 0; f < a_.value_width; f++) row[f] = o[f * nr + i];
      out_.write(a_.v, buffers, at + i, row, a_.value_width, shift[i], sum[i]);
    }
  }

  static constexpr int kPanelMax = 64;
  const Attention<T> a_;
  const AttentionRows<T> out_;
  int64_t blocks_ = 0, parts_ = 1;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_sdpa(const LibraryKernel& k, const Target& target) {
  const SdpaAttrs& a = std::get<SdpaAttrs>(k.attrs);
  if (k.operands.size() != 5u + (a.has_bias ? 1 : 0) + (a.dropout > 0 ? 2 : 0))
    return invalid("[sdpa] has the wrong number of operands");
  if (std::unique_ptr<Kernel> rows = make_sdpa_rows(k, target)) return rows;
  if (k.operands[0].dtype == DType::f64)
    return std::unique_ptr<Kernel>(new SdpaKernel<double>(k, target));
  return std::unique_ptr<Kernel>(new SdpaKernel<float>(k, target));
}

}  // namespace moai::cpu
