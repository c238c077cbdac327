// C = A B for a few rows of A, in f32: bound by reading B once, so B is not packed.
#pragma once
#include "src/device/cpu/gemm.h"

namespace moai::cpu {

class SkinnyGemm {
 public:
  // b_line, b_depth: steps of B along its columns and along k.
  static bool fits(int64_t m, int64_t n, int64_t k, int64_t b_line, int64_t b_depth) {
    return m >= 1 && m <= kSkinnyRows && n >= 16 && k >= 16 && (b_line == 1 || b_depth == 1);
  }
  SkinnyGemm(const VectorOps& v, int64_t m, int64_t n, int64_t k) : v_(v), m_(m), n_(n), k_(k) {}
  uint64_t shared_bytes() const { return static_cast<uint64_t>(m_ * k_) * sizeof(float) + 64; }

  void run(MatrixView a, MatrixView b, char* c, RunContext& context) const {
    float* rows = reinterpret_cast<float*>(context.shared);
    for (int64_t i = 0; i < m_; i++)
      for (int64_t p = 0; p < k_; p++)
        rows[i * k_ + p] = *reinterpret_cast<const float*>(a.at(i, p).data);
    const bool by_dots = b.row == 1;  // neighbours along k
    // By rows: a strip of C stays in the first cache. By dots: some 10 us of work.
    const int64_t step = by_dots ? std::max<int64_t>(4, 32768 / k_) : 1024;
    context.pool.run((n_ + step - 1) / step, [&](int64_t task, int) {
      const int64_t j = task * step, n = std::min(step, n_ - j);
      const float* from = reinterpret_cast<const float*>(b.at(0, j).data);
      float* to = reinterpret_cast<float*>(c) + j;
      if (by_dots)
        v_.skinny_dots[m_ - 1](k_, rows, from, b.col, n, to, n_);
      else
        v_.skinny_rows[m_ - 1](k_, rows, from, b.row, n, to, n_);
    });
  }

 private:
  const VectorOps& v_;
  int64_t m_, n_, k_;
};

}  // namespace moai::cpu
