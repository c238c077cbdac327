// C = A B for operands of bf16, by the processor's unit for them. Sums are f32. Splits depend on
// the shape alone, and an element of C is summed in one order, so results have the same bits on any
// number of threads.
#pragma once
#include "src/device/cpu/bf16_ops.h"
#include "src/device/cpu/gemm.h"

namespace moai::cpu {

// A thread's use of the unit, within one task of the pool.
class Bf16Use {
 public:
  explicit Bf16Use(const Bf16Ops& ops) : ops_(ops) { ops_.begin(); }
  ~Bf16Use() { ops_.end(); }
  Bf16Use(const Bf16Use&) = delete;
  Bf16Use& operator=(const Bf16Use&) = delete;

 private:
  const Bf16Ops& ops_;
};

// A packed operand: panels of 32 lines, each as deep as the operand.
struct Bf16Panels {
  uint16_t* data = nullptr;
  int64_t depth = 0;  // rounded up to tiles
  uint16_t* panel(int64_t index, int64_t k0 = 0) const {
    return data + index * kBf16Panel * depth + k0 * kBf16Panel;
  }
  static int64_t size(int64_t lines, int64_t depth) {
    return round_up(lines, kBf16Panel) * round_up(depth, kBf16Depth);
  }
};

// Tiles of the panel at line `at` that hold lines.
inline int bf16_tiles(int64_t lines, int64_t at) { return lines - at > kBf16Lines ? 2 : 1; }

// Depth of both operands' panels that the first and second cache hold.
inline constexpr int64_t kBf16Slab = 512;

class Bf16Gemm {
 public:
  Bf16Gemm(const VectorOps& v, const Bf16Ops& ops, int64_t m, int64_t n, int64_t k, DType result)
      : v_(v), ops_(ops), m_(m), n_(n), k_(k), result_(result) {}

  // Split over the pool: operands packed into shared scratch, sums of a block in a thread's.
  uint64_t shared_bytes() const { return packed_bytes(rows_max(), cols_max()); }
  uint64_t thread_bytes() const {
    return static_cast<uint64_t>(kBlockRows * kBlockCols) * sizeof(float) + 64;
  }
  void run(MatrixView a, MatrixView b, char* c, RunContext& context) const {
    for (int64_t j = 0; j < n_; j += cols_max())
      for (int64_t i = 0; i < m_; i += rows_max())
        run_part(a.at(i, 0), b.at(0, j), std::min(rows_max(), m_ - i), std::min(cols_max(), n_ - j),
                 at(c, i, j), context);
  }
  // On one thread, in one piece.
  uint64_t small_bytes() const { return packed_bytes(m_, n_) + thread_bytes(); }
  void run_small(MatrixView a, MatrixView b, char* c, char* scratch) const {
    const Bf16Panels pa = left(scratch), pb = right(pa, m_);
    float* sums = reinterpret_cast<float*>(pb.panel((n_ + kBf16Panel - 1) / kBf16Panel));
    for (int64_t i = 0; i < m_; i += kBf16Panel) pack_left(a, m_, i, pa);
    for (int64_t j = 0; j < n_; j += kBf16Panel) pack_right(b, n_, j, pb);
    for (int64_t j = 0; j < n_; j += kBlockCols)
      for (int64_t i = 0; i < m_; i += kBlockRows) run_block(pa, pb, m_, n_, i, j, c, sums);
  }

 private:
  static constexpr int64_t kBlockRows = 128,
                           kBlockCols = 256;  // of a task: its sums stay in the second cache
  static constexpr int64_t kPackedMax = 16
                                        << 20;  // elements of an operand that are packed at a time

  int64_t lines_max() const {
    return std::max(kBlockCols, kPackedMax / round_up(std::max<int64_t>(1, k_), kBf16Depth) /
                                    kBlockCols * kBlockCols);
  }
  int64_t rows_max() const { return std::min(m_, lines_max()); }
  int64_t cols_max() const { return std::min(n_, lines_max()); }
  uint64_t packed_bytes(int64_t m, int64_t n) const {
    return static_cast<uint64_t>(Bf16Panels::size(m, k_) + Bf16Panels::size(n, k_)) * 2 + 64;
  }
  char* at(char* c, int64_t i, int64_t j) const {
    return c + (i * n_ + j) * static_cast<int64_t>(size_of(result_));
  }
  Bf16Panels left(char* scratch) const {
    return {reinterpret_cast<uint16_t*>(scratch), round_up(k_, kBf16Depth)};
  }
  Bf16Panels right(const Bf16Panels& a, int64_t m) const {
    return {a.data + Bf16Panels::size(m, k_), a.depth};
  }
  void pack_left(MatrixView a, int64_t m, int64_t i, const Bf16Panels& out) const {
    ops_.pack(Bf16Side::left, reinterpret_cast<const uint16_t*>(a.at(i, 0).data), a.row, a.col,
              std::min<int64_t>(kBf16Panel, m - i), k_, out.panel(i / kBf16Panel));
  }
  void pack_right(MatrixView b, int64_t n, int64_t j, const Bf16Panels& out) const {
    ops_.pack(Bf16Side::right, reinterpret_cast<const uint16_t*>(b.at(0, j).data), b.col, b.row,
              std::min<int64_t>(kBf16Panel, n - j), k_, out.panel(j / kBf16Panel));
  }

  void run_part(MatrixView a, MatrixView b, int64_t m, int64_t n, char* c,
                RunContext& context) const {
    const Bf16Panels pa = left(context.shared), pb = right(pa, m);
    const int64_t rows = (m + kBf16Panel - 1) / kBf16Panel,
                  cols = (n + kBf16Panel - 1) / kBf16Panel;
    context.pool.run(rows + cols, [&](int64_t i, int) {
      i < rows ? pack_left(a, m, i * kBf16Panel, pa)
               : pack_right(b, n, (i - rows) * kBf16Panel, pb);
    });
    const int64_t blocks = (m + kBlockRows - 1) / kBlockRows;
    context.pool.run(blocks * ((n + kBlockCols - 1) / kBlockCols), [&](int64_t task, int thread) {
      run_block(pa, pb, m, n, task % blocks * kBlockRows, task / blocks * kBlockCols, c,
                reinterpret_cast<float*>(context.scratch[thread]));
    });
  }
  // The block of C at (i, j).
  void run_block(const Bf16Panels& a, const Bf16Panels& b, int64_t m, int64_t n, int64_t i,
                 int64_t j, char* c, float* sums) const {
    const int64_t rows = std::min(kBlockRows, m - i), cols = std::min(kBlockCols, n - j);
    constexpr int64_t kSums = kBf16Panel * kBf16Panel;  // of two panels: they lie together
    const Bf16Use use(ops_);
    for (int64_t k0 = 0; k0 == 0 || k0 < a.depth; k0 += kBf16Slab) {
      const int64_t depths = std::min(kBf16Slab, a.depth - k0) / kBf16Depth;
      const bool is_last = k0 + kBf16Slab >= a.depth;
      float* to = sums;
      for (int64_t q = 0; q < cols; q += kBf16Panel)
        for (int64_t p = 0; p < rows; p += kBf16Panel, to += a.depth <= kBf16Slab ? 0 : kSums) {
          ops_.multiply(depths, a.panel((i + p) / kBf16Panel, k0), bf16_tiles(rows, p),
                        b.panel((j + q) / kBf16Panel, k0), bf16_tiles(cols, q), to, kBf16Panel,
                        k0 > 0);
          if (is_last)
            store(to, kBf16Panel, std::min<int64_t>(kBf16Panel, rows - p),
                  std::min<int64_t>(kBf16Panel, cols - q), at(c, i + p, j + q));
        }
    }
  }
  void store(const float* sums, int64_t row, int64_t rows, int64_t cols, char* to) const {
    if (result_ == DType::bf16)
      return ops_.narrow(sums, row, rows, cols, reinterpret_cast<uint16_t*>(to), n_);
    for (int64_t r = 0; r < rows; r++) v_.from_f32(result_, sums + r * row, at(to, r, 0), cols);
  }

  const VectorOps& v_;
  const Bf16Ops& ops_;
  int64_t m_, n_, k_;
  DType result_;
};

}  // namespace moai::cpu
