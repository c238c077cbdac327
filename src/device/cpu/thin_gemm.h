// C = A B for few rows of A and rows of B with neighbouring elements: nothing is packed but B's
// last columns.
#pragma once
#include <cstring>

#include "src/device/cpu/gemm.h"

namespace moai::cpu {

template <class T>
class ThinGemm {
 public:
  // b_line: step of B along its columns.
  static bool fits(int64_t m, int64_t n, int64_t k, int64_t b_line) {
    return std::is_floating_point_v<T> && m <= kRowsMax && n >= 16 && k >= 1 && b_line == 1;
  }
  ThinGemm(const VectorOps& v, int64_t m, int64_t n, int64_t k)
      : ops_(GemmType<T>::ops(v)), m_(m), n_(n), k_(k) {}
  // By thread: a panel of B's last columns, and the block of C that it makes.
  uint64_t scratch_bytes() const {
    return n_ % ops_.nr == 0 ? 0 : static_cast<uint64_t>((kDepth + m_) * ops_.nr) * sizeof(T) + 64;
  }

  void run(MatrixView a, MatrixView b, char* c, RunContext& context) const {
    const int64_t strips = (n_ + ops_.nr - 1) / ops_.nr;
    const int64_t step = std::max<int64_t>(1, kTaskProducts / (m_ * k_ * ops_.nr));
    context.pool.run((strips + step - 1) / step, [&](int64_t task, int thread) {
      for (int64_t s = task * step; s < std::min(strips, (task + 1) * step); s++)
        strip(a, b, s * ops_.nr, reinterpret_cast<T*>(c), context.scratch[thread]);
    });
  }

 private:
  static constexpr int64_t kRowsMax = 48;
  static constexpr int64_t kDepth = 256;
  static constexpr int64_t kTaskProducts = 1 << 18;  // some 5 us

  void strip(MatrixView a, MatrixView b, int64_t j, T* c, char* scratch) const {
    const T* from = reinterpret_cast<const T*>(b.data) + j;
    if (j + ops_.nr <= n_) return rows(a, k_, from, b.row, c + j, n_, false);
    const int64_t width = n_ - j;
    T* panel = reinterpret_cast<T*>(scratch);
    T* block = panel + kDepth * ops_.nr;
    for (int64_t k0 = 0; k0 < k_; k0 += kDepth) {
      const int64_t depth = std::min(kDepth, k_ - k0);
      for (int64_t p = 0; p < depth; p++) {
        T* to = panel + p * ops_.nr;
        std::memcpy(to, from + (k0 + p) * b.row, static_cast<size_t>(width) * sizeof(T));
        std::fill(to + width, to + ops_.nr, T(0));
      }
      rows(a.at(0, k0), depth, panel, ops_.nr, block, ops_.nr, k0 > 0);
    }
    for (int64_t i = 0; i < m_; i++)
      std::memcpy(c + i * n_ + j, block + i * ops_.nr, static_cast<size_t>(width) * sizeof(T));
  }

  // All rows of A in blocks of nearly one size.
  void rows(MatrixView a, int64_t k, const T* b, int64_t ldb, T* c, int64_t ldc, bool add) const {
    int64_t left = (m_ + ops_.mr - 1) / ops_.mr;
    for (int64_t i = 0; i < m_; left--) {
      const int64_t count = (m_ - i + left - 1) / left;
      ops_.thin[count - 1](k, reinterpret_cast<const T*>(a.at(i, 0).data), a.row, a.col, b, ldb,
                           c + i * ldc, ldc, add);
      i += count;
    }
  }

  const GemmOps<T>& ops_;
  int64_t m_, n_, k_;
};

}  // namespace moai::cpu
