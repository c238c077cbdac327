// C = A B on the pool, for matrices of any strides and any dtype. Splits depend on the shape alone,
// and an element of C is one chain in k order, so results have the same bits on any number of
// threads.
#pragma once
#include <algorithm>
#include <cstdint>

#include "src/device/cpu/kernel.h"

namespace moai::cpu {

// Element (i, j) is at data + (i * row + j * col) elements.
struct MatrixView {
  const char* data = nullptr;
  DType dtype = DType::f32;
  int64_t row = 0, col = 0;
  MatrixView at(int64_t i, int64_t j) const {
    MatrixView m = *this;
    m.data += (i * row + j * col) * static_cast<int64_t>(size_of(dtype));
    return m;
  }
};

// Depth of a slab of packed panels: a panel of B fills most of the first cache.
inline constexpr int64_t kGemmDepth = 256;

// The type that a dtype is multiplied in, its bodies and conversions.
template <class T>
struct GemmType;
template <>
struct GemmType<float> {
  static const GemmOps<float>& ops(const VectorOps& v) { return v.gemm_f32; }
  static void pack(const VectorOps& v, MatrixView m, int64_t rows, int64_t k, int width,
                   float* out) {
    v.pack_f32(m.dtype, m.data, m.row, m.col, rows, k, width, out);
  }
  static const ConvOps<float>& conv(const VectorOps& v) { return v.conv_f32; }
  static void narrow(const VectorOps& v, DType t, const float* from, char* to, int64_t n) {
    v.from_f32(t, from, to, n);
  }
  static bool is_direct(DType t) { return t == DType::f32; }
};
template <>
struct GemmType<double> {
  static const GemmOps<double>& ops(const VectorOps& v) { return v.gemm_f64; }
  static void pack(const VectorOps& v, MatrixView m, int64_t rows, int64_t k, int width,
                   double* out) {
    v.pack_f64(reinterpret_cast<const double*>(m.data), m.row, m.col, rows, k, width, out);
  }
  static const ConvOps<double>& conv(const VectorOps& v) { return v.conv_f64; }
  static void narrow(const VectorOps&, DType, const double* from, char* to, int64_t n) {
    std::copy(from, from + n, reinterpret_cast<double*>(to));
  }
  static bool is_direct(DType t) { return t == DType::f64; }
};
void narrow_integers(DType dtype, const int64_t* from, char* to, int64_t n);
template <>
struct GemmType<int64_t> {
  static const GemmOps<int64_t>& ops(const VectorOps& v) { return v.gemm_i64; }
  static void pack(const VectorOps& v, MatrixView m, int64_t rows, int64_t k, int width,
                   int64_t* out) {
    v.pack_i64(m.dtype, m.data, m.row, m.col, rows, k, width, out);
  }
  static const ConvOps<int64_t>& conv(const VectorOps& v) { return v.conv_i64; }
  static void narrow(const VectorOps&, DType t, const int64_t* from, char* to, int64_t n) {
    narrow_integers(t, from, to, n);
  }
  static bool is_direct(DType t) { return t == DType::i64; }
};

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// A packed operand: slabs of kGemmDepth, each a run of panels.
template <class T>
struct PackedMatrix {
  T* data = nullptr;
  int64_t padded = 0;  // rows of A or columns of B, rounded up to the panel
  int width = 0;
  T* panel(int64_t k0, int64_t depth, int64_t index) const {
    return data + k0 * padded + index * width * depth;
  }
};

// Packs `count` panels from `index` on, all slabs, of `lines` lines of depth k. m: element (line,
// p).
template <class T>
void pack_panels(const VectorOps& v, MatrixView m, int64_t lines, int64_t k, int64_t index,
                 int64_t count, const PackedMatrix<T>& out) {
  const int64_t first = index * out.width, n = std::min<int64_t>(count * out.width, lines - first);
  for (int64_t k0 = 0; k0 < k; k0 += kGemmDepth) {
    const int64_t depth = std::min(kGemmDepth, k - k0);
    GemmType<T>::pack(v, m.at(first, k0), n, depth, out.width, out.panel(k0, depth, index));
  }
}
template <class T>
void pack_all(const VectorOps& v, MatrixView m, int64_t lines, int64_t k,
              const PackedMatrix<T>& out) {
  if (lines > 0) pack_panels(v, m, lines, k, 0, (lines + out.width - 1) / out.width, out);
}

// Rows [i0, i1) and columns [j0, j1) of C from packed operands; i0 and j0 at panel borders.
template <class T>
void multiply_block(const VectorOps& v, const PackedMatrix<T>& a, const PackedMatrix<T>& b,
                    int64_t k, int64_t i0, int64_t i1, int64_t j0, int64_t j1, T* c, int64_t ldc,
                    bool add) {
  const GemmOps<T>& ops = GemmType<T>::ops(v);
  for (int64_t k0 = 0; k0 < k; k0 += kGemmDepth) {
    const int64_t depth = std::min(kGemmDepth, k - k0);
    for (int64_t j = j0; j < j1; j += ops.nr)
      for (int64_t i = i0; i < i1; i += ops.mr)
        ops.micro(depth, a.panel(k0, depth, i / ops.mr), b.panel(k0, depth, j / ops.nr),
                  c + i * ldc + j, ldc, static_cast<int>(std::min<int64_t>(ops.mr, i1 - i)),
                  static_cast<int>(std::min<int64_t>(ops.nr, j1 - j)), add || k0 > 0);
  }
}

// One product at a time, split over the pool. B is packed into shared scratch first. A too where
// several blocks of columns read it; else a task packs the rows that it multiplies, which its
// second cache then still holds.
template <class T>
class PooledGemm {
 public:
  PooledGemm(const VectorOps& v, int64_t m, int64_t n, int64_t k, DType result)
      : v_(v), o_(GemmType<T>::ops(v)), m_(m), n_(n), k_(k), result_(result) {}
  uint64_t shared_bytes() const {
    const int64_t depth = std::min(k_, kDepthMax);
    int64_t n = round_up(std::min(n_, kColsMax), o_.nr) * depth;
    if (!is_narrow(n_)) n += round_up(std::min(m_, kRowsMax), o_.mr) * depth;
    if (!GemmType<T>::is_direct(result_)) n += m_ * n_;
    return static_cast<uint64_t>(n) * sizeof(T) + 128;
  }
  uint64_t thread_bytes() const {
    return static_cast<uint64_t>(block_rows() * std::min(k_, kGemmDepth)) * sizeof(T) + 64;
  }
  void run(MatrixView a, MatrixView b, char* c, RunContext& context) const;

 private:
  static constexpr int64_t kRowsMax = 2048, kColsMax = 4096, kDepthMax = 2048;
  static constexpr int64_t kPackPanels = 4;
  static constexpr int64_t kBlockRows = 8, kBlockCols = 8;  // panels of a task

  int64_t block_rows() const { return kBlockRows * o_.mr; }
  int64_t block_cols() const { return kBlockCols * o_.nr; }
  bool is_narrow(int64_t n) const { return n <= block_cols(); }
  PackedMatrix<T> packed(T* data, int64_t lines, int width) const {
    return {data, round_up(lines, width), width};
  }
  void pack(MatrixView m, int64_t lines, int64_t k, const PackedMatrix<T>& out,
            RunContext& context) const {
    const int64_t step = kPackPanels * out.width;
    context.pool.run((lines + step - 1) / step, [&](int64_t i, int) {
      pack_panels(v_, m, lines, k, i * kPackPanels, kPackPanels, out);
    });
  }
  void run_part(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, T* c, bool add,
                T* scratch, RunContext& context) const;
  void run_rows(MatrixView a, const PackedMatrix<T>& b, int64_t m, int64_t n, int64_t k, T* c,
                bool add, T* scratch) const;

  const VectorOps& v_;
  const GemmOps<T>& o_;
  int64_t m_, n_, k_;
  DType result_;
};

template <class T>
void PooledGemm<T>::run_part(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, T* c,
                             bool add, T* scratch, RunContext& context) const {
  const PackedMatrix<T> pb = packed(scratch, n, o_.nr);
  pack({b.data, b.dtype, b.col, b.row}, n, k, pb, context);  // lines of B are its columns
  const int64_t rows = block_rows(), cols = block_cols(), row_blocks = (m + rows - 1) / rows;
  if (is_narrow(n_)) {
    context.pool.run(row_blocks, [&](int64_t task, int thread) {
      const int64_t i = task * rows;
      run_rows(a.at(i, 0), pb, std::min(rows, m - i), n, k, c + i * n_, add,
               reinterpret_cast<T*>(context.scratch[thread]));
    });
    return;
  }
  const PackedMatrix<T> pa = packed(scratch + pb.padded * k, m, o_.mr);
  pack(a, m, k, pa, context);
  context.pool.run(row_blocks * ((n + cols - 1) / cols), [&](int64_t task, int) {
    const int64_t i = task % row_blocks * rows, j = task / row_blocks * cols;
    multiply_block(v_, pa, pb, k, i, std::min(m, i + rows), j, std::min(n, j + cols), c, n_, add);
  });
}

// A block of rows by all of a narrow B, one slab after the other.
template <class T>
void PooledGemm<T>::run_rows(MatrixView a, const PackedMatrix<T>& b, int64_t m, int64_t n,
                             int64_t k, T* c, bool add, T* scratch) const {
  const PackedMatrix<T> pa = packed(scratch, m, o_.mr);
  for (int64_t k0 = 0; k0 < k; k0 += kGemmDepth) {
    const int64_t depth = std::min(kGemmDepth, k - k0);
    pack_all(v_, a.at(0, k0), m, depth, pa);
    const PackedMatrix<T> slab = {b.data + k0 * b.padded, b.padded, b.width};
    multiply_block(v_, pa, slab, depth, 0, m, 0, n, c, n_, add || k0 > 0);
  }
}

template <class T>
void PooledGemm<T>::run(MatrixView a, MatrixView b, char* c, RunContext& context) const {
  const bool is_direct = GemmType<T>::is_direct(result_);
  T* scratch = reinterpret_cast<T*>(context.shared);
  T* sums = is_direct ? reinterpret_cast<T*>(c) : scratch;
  if (!is_direct) scratch += round_up(m_ * n_, 16);
  if (k_ == 0) std::fill(sums, sums + m_ * n_, T(0));
  for (int64_t k = 0; k < k_; k += kDepthMax)
    for (int64_t j = 0; j < n_; j += kColsMax)
      for (int64_t i = 0; i < m_; i += kRowsMax)
        run_part(a.at(i, k), b.at(k, j), std::min(kRowsMax, m_ - i), std::min(kColsMax, n_ - j),
                 std::min(kDepthMax, k_ - k), sums + i * n_ + j, k > 0, scratch, context);
  if (is_direct) return;
  constexpr int64_t kChunk = 16384;
  const int64_t count = m_ * n_;
  context.pool.run((count + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
    const int64_t at = chunk * kChunk;
    GemmType<T>::narrow(v_, result_, sums + at, c + at * static_cast<int64_t>(size_of(result_)),
                        std::min(kChunk, count - at));
  });
}

// A whole small product on one thread.
template <class T>
class SmallGemm {
 public:
  SmallGemm(const VectorOps& v, int64_t m, int64_t n, int64_t k, DType result)
      : v_(v), m_(m), n_(n), k_(k), result_(result) {}
  uint64_t scratch_bytes() const {
    const GemmOps<T>& o = GemmType<T>::ops(v_);
    int64_t n = (round_up(m_, o.mr) + round_up(n_, o.nr)) * k_ + 16;
    if (!GemmType<T>::is_direct(result_)) n += m_ * n_;
    return static_cast<uint64_t>(n) * sizeof(T) + 128;
  }
  void run(MatrixView a, MatrixView b, char* c, char* scratch) const {
    const GemmOps<T>& o = GemmType<T>::ops(v_);
    const bool is_direct = GemmType<T>::is_direct(result_);
    const PackedMatrix<T> pa = {reinterpret_cast<T*>(scratch), round_up(m_, o.mr), o.mr};
    const PackedMatrix<T> pb = {pa.data + round_up(pa.padded * k_, 16), round_up(n_, o.nr), o.nr};
    T* sums = is_direct ? reinterpret_cast<T*>(c) : pb.data + pb.padded * k_;
    const MatrixView bt = {b.data, b.dtype, b.col, b.row};
    pack_all(v_, a, m_, k_, pa);
    pack_all(v_, bt, n_, k_, pb);
    if (k_ == 0) std::fill(sums, sums + m_ * n_, T(0));
    multiply_block(v_, pa, pb, k_, 0, m_, 0, n_, sums, n_, false);
    if (!is_direct) GemmType<T>::narrow(v_, result_, sums, c, m_ * n_);
  }

 private:
  const VectorOps& v_;
  int64_t m_, n_, k_;
  DType result_;
};

}  // namespace moai::cpu
