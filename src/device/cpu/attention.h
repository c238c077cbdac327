// What sdpa and sdpa_bwd share: operands, packing, blocks of scores.
//
// Scores of nr queries against all keys are kept transposed, [key][query]: the product writes them
// so, softmax runs down the columns with a query in each lane, and the block is already the packed
// operand of the next product.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {

template <class T>
const AttentionOps<T>& attention_ops(const VectorOps& v) {
  if constexpr (std::is_same_v<T, float>)
    return v.attention_f32;
  else
    return v.attention_f64;
}

template <class T>
class Attention {
 public:
  // first: position of q among the operands; bias: of the bias, if there is one.
  Attention(const LibraryKernel& k, const Target& target, size_t first, size_t bias)
      : v(*target.vectors),
        gemm(GemmType<T>::ops(v)),
        rows(attention_ops<T>(v)),
        attrs(std::get<SdpaAttrs>(k.attrs)),
        q(k.operands[first]),
        key(k.operands[first + 1]),
        value(k.operands[first + 2]),
        bias_at_(bias) {
    batch = q.sizes[0], heads = q.sizes[1], queries = q.sizes[2], width = q.sizes[3];
    groups = key.sizes[1], keys = key.sizes[2], value_width = value.sizes[3];
    if (attrs.has_bias) set_bias_strides(k.operands[bias]);
    key_at_ = bias + (attrs.has_bias ? 1 : 0);
    if (attrs.dropout > 0)
      key_offset_ = k.operands[key_at_].offset, counter_offset_ = k.operands[key_at_ + 1].offset;
  }

  MatrixView matrix(const Operand& x, const char* data, int64_t b, int64_t h) const {
    return {data + (x.offset + b * x.strides[0] + h * x.strides[1]) *
                       static_cast<int64_t>(size_of(x.dtype)),
            x.dtype, x.strides[2], x.strides[3]};
  }
  static MatrixView transposed(MatrixView m) { return {m.data, m.dtype, m.col, m.row}; }
  int64_t group_of(int64_t h) const { return h / (heads / groups); }

  PackedMatrix<T> packed(T*& scratch, int64_t lines, int width_of_panel, int64_t depth) const {
    const PackedMatrix<T> p = {scratch, round_up(lines, width_of_panel), width_of_panel};
    scratch += round_up(p.padded * depth, 16);
    return p;
  }
  int64_t packed_size(int64_t lines, int width_of_panel, int64_t depth) const {
    return round_up(round_up(lines, width_of_panel) * depth, 16);
  }
  void pack(MatrixView m, int64_t lines, int64_t depth, const PackedMatrix<T>& out) const {
    pack_all(v, m, lines, depth, out);
  }

  // c (m x nr) = a x, where a was packed with packed_depth >= depth lines and x is one panel.
  void multiply_panel(const PackedMatrix<T>& a, int64_t m, int64_t packed_depth, const T* x,
                      int64_t depth, T* c) const {
    if (depth == 0) std::fill_n(c, m * gemm.nr, T(0));
    for (int64_t k0 = 0; k0 < depth; k0 += kGemmDepth)
      for (int64_t i = 0; i < m; i += gemm.mr)
        gemm.micro(std::min(kGemmDepth, depth - k0),
                   a.panel(k0, std::min(kGemmDepth, packed_depth - k0), i / gemm.mr),
                   x + k0 * gemm.nr, c + i * gemm.nr, gemm.nr,
                   static_cast<int>(std::min<int64_t>(gemm.mr, m - i)), gemm.nr, k0 > 0);
  }

  // A line of `n` elements, in T.
  void line(MatrixView from, int64_t n, T* out) const { GemmType<T>::pack(v, from, 1, n, 1, out); }
  // Of one head: queries x keys. Requires: attrs.has_bias.
  MatrixView bias(std::span<char* const> buffers, int64_t b, int64_t h) const {
    const int64_t at = bias_.offset + b * bias_strides_[0] + h * bias_strides_[1];
    return {buffers[bias_at_] + at * static_cast<int64_t>(size_of(bias_.dtype)), bias_.dtype,
            bias_strides_[2], bias_strides_[3]};
  }

  // Keys that any of `n` queries from `first` on sees.
  int64_t seen(int64_t first, int64_t n) const {
    return attrs.causal ? std::min(keys, first + n) : keys;
  }

  // s[j][i] = scale * (scores j, i) + bias for queries first + i, and what exp_columns has to scale
  // by.
  T scores(const PackedMatrix<T>& keys_packed, const PackedMatrix<T>& q_panel,
           std::span<char* const> buffers, int64_t b, int64_t h, int64_t first, int64_t n,
           int64_t seen_keys, T* s, T* temp) const;
  // m[j][i] = 0 or 1 / (1 - p); temp: keys * nr values.
  void dropout_mask(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first, int64_t n,
                    int64_t seen_keys, float* row, T* temp, T* m) const;

  const VectorOps& v;
  const GemmOps<T>& gemm;
  const AttentionOps<T>& rows;
  const SdpaAttrs attrs;
  const Operand q, key, value;
  int64_t batch = 0, heads = 0, queries = 0, width = 0, groups = 0, keys = 0, value_width = 0;

 private:
  void set_bias_strides(const Operand& x) {
    bias_ = x;
    for (int64_t& s : bias_strides_) s = 0;
    for (int d = 0; d < x.sizes.rank(); d++)
      if (x.sizes[d] != 1) bias_strides_[4 - x.sizes.rank() + d] = x.strides[d];
  }

  const size_t bias_at_;
  size_t key_at_ = 0;
  int64_t key_offset_ = 0, counter_offset_ = 0;
  Operand bias_;
  int64_t bias_strides_[4] = {};
};

// What both forward kernels leave of a query: the last two operands.
template <class T>
class AttentionRows {
 public:
  explicit AttentionRows(const LibraryKernel& k)
      : out_(k.operands[k.operands.size() - 2]), lse_(k.operands.back()) {}

  // Of query `at`, counted over batch, heads and queries: row / sum, and the logarithm of the sum
  // of exponentials, which is above `shift`. `row`, of `width` values, is overwritten.
  void write(const VectorOps& v, std::span<char* const> buffers, int64_t at, T* row, int64_t width,
             T shift, T sum) const {
    for (int64_t f = 0; f < width; f++)
      row[f] = sum == 0 ? std::numeric_limits<T>::quiet_NaN() : row[f] / sum;
    const size_t out = buffers.size() - 2;
    GemmType<T>::narrow(
        v, out_.dtype, row,
        buffers[out] + (out_.offset + at * width) * static_cast<int64_t>(size_of(out_.dtype)),
        width);
    reinterpret_cast<float*>(buffers[out + 1])[lse_.offset + at] =
        static_cast<float>(shift + std::log(sum));
  }

 private:
  const Operand out_, lse_;
};

template <class T>
T Attention<T>::scores(const PackedMatrix<T>& keys_packed, const PackedMatrix<T>& q_panel,
                       std::span<char* const> buffers, int64_t b, int64_t h, int64_t first,
                       int64_t n, int64_t seen_keys, T* s, T* temp) const {
  multiply_block(v, keys_packed, q_panel, width, 0, seen_keys, 0, gemm.nr, s, gemm.nr, false);
  T scale = static_cast<T>(attrs.scale);
  if (attrs.has_bias) {
    GemmType<T>::pack(v, bias(buffers, b, h).at(first, 0), n, seen_keys, gemm.nr, temp);
    rows.scale_add(s, seen_keys, scale, temp);
    scale = 1;
  } else if (!(scale > 0)) {  // the largest score is not the one with the largest product
    for (int64_t i = 0; i < seen_keys * gemm.nr; i++) s[i] *= scale;
    scale = 1;
  }
  if (attrs.causal)
    for (int64_t j = std::max<int64_t>(0, first + 1); j < seen_keys;
         j++)  // query i sees keys up to first + i
      std::fill_n(s + j * gemm.nr, std::min<int64_t>(gemm.nr, j - first),
                  -std::numeric_limits<T>::infinity());
  return scale;
}

template <class T>
void Attention<T>::dropout_mask(std::span<char* const> buffers, int64_t b, int64_t h, int64_t first,
                                int64_t n, int64_t seen_keys, float* row, T* temp, T* m) const {
  const auto seed =
      static_cast<uint64_t>(reinterpret_cast<const int64_t*>(buffers[key_at_])[key_offset_]);
  const auto offset = static_cast<uint64_t>(
      reinterpret_cast<const int64_t*>(buffers[key_at_ + 1])[counter_offset_]);
  for (int64_t i = 0; i < n; i++) {
    const int64_t element = ((b * heads + h) * queries + first + i) * keys;
    v.dropout_mask(seed, offset, static_cast<uint64_t>(element), attrs.dropout,
                   static_cast<float>(1 / (1 - attrs.dropout)), row, seen_keys);
    std::copy(row, row + seen_keys, temp + i * seen_keys);
  }
  const DType type = std::is_same_v<T, float> ? DType::f32 : DType::f64;
  GemmType<T>::pack(v, {reinterpret_cast<const char*>(temp), type, seen_keys, 1}, n, seen_keys,
                    gemm.nr, m);
}

}  // namespace moai::cpu
