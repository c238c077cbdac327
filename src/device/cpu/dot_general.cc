// dot_general: a list of matrix products. Groups of axes that are evenly spaced become one matrix
// dimension; others are first copied into order.
#include "src/device/cpu/gemm.h"
#include "src/device/cpu/kernels.h"
#include "src/device/cpu/skinny_gemm.h"
#include "src/device/cpu/thin_gemm.h"

namespace moai::cpu {

void narrow_integers(DType dtype, const int64_t* from, char* to, int64_t n) {
  switch (dtype) {
    case DType::i64: std::copy(from, from + n, reinterpret_cast<int64_t*>(to)); return;
    case DType::i32:
      for (int64_t i = 0; i < n; i++)
        reinterpret_cast<int32_t*>(to)[i] = static_cast<int32_t>(from[i]);
      return;
    case DType::i16:
      for (int64_t i = 0; i < n; i++)
        reinterpret_cast<int16_t*>(to)[i] = static_cast<int16_t>(from[i]);
      return;
    case DType::boolean:
      for (int64_t i = 0; i < n; i++) to[i] = from[i] != 0;
      return;
    default:
      for (int64_t i = 0; i < n; i++) to[i] = static_cast<char>(from[i]);
  }
}

namespace {

// Sizes and strides of a group of axes of an operand.
struct AxisGroup {
  Shape sizes, strides;
  int64_t count() const { return sizes.numel(); }
  int64_t offset_of(int64_t i) const {
    int64_t at = 0;
    for (int d = sizes.rank() - 1; d >= 0; d--) at += i % sizes[d] * strides[d], i /= sizes[d];
    return at;
  }
  // Whether index i is at i * step for one step.
  bool is_even(int64_t* step) const {
    *step = 0;
    bool is_first = true;
    int64_t next = 0;
    for (int d = sizes.rank() - 1; d >= 0; d--) {
      if (sizes[d] == 1) continue;
      if (is_first)
        *step = strides[d], is_first = false;
      else if (strides[d] != next)
        return false;
      next = strides[d] * sizes[d];
    }
    return true;
  }
};

AxisGroup group_of(const Operand& x, const Shape& axes) {
  AxisGroup g;
  for (int64_t a : axes)
    g.sizes.push_back(x.sizes[static_cast<int>(a)]),
        g.strides.push_back(x.strides[static_cast<int>(a)]);
  return g;
}
Shape free_axes(const Operand& x, const Shape& batch, const Shape& contract) {
  Shape axes;
  for (int64_t i = 0; i < x.sizes.rank(); i++) {
    const auto is = [&](int64_t a) { return a == i; };
    if (std::any_of(batch.begin(), batch.end(), is) ||
        std::any_of(contract.begin(), contract.end(), is))
      continue;
    axes.push_back(i);
  }
  return axes;
}

// One operand as batch x lines x depth.
struct DotOperand {
  DType dtype = DType::f32;
  int64_t offset = 0;
  AxisGroup batch, lines, depth;
  int64_t line_step = 0, depth_step = 0;
  bool is_copied = false;  // into scratch as [batch, lines, depth]

  void choose() { is_copied = !lines.is_even(&line_step) || !depth.is_even(&depth_step); }
  int64_t bytes() const {
    return batch.count() * lines.count() * depth.count() * static_cast<int64_t>(size_of(dtype));
  }
  MatrixView view(const char* data, const char* copy, int64_t index) const {
    const int64_t size = static_cast<int64_t>(size_of(dtype));
    if (is_copied)
      return {copy + index * lines.count() * depth.count() * size, dtype, depth.count(), 1};
    return {data + (offset + batch.offset_of(index)) * size, dtype, line_step, depth_step};
  }
  template <class E>
  void copy_as(const char* data, char* to, ThreadPool& pool) const {
    const int64_t k = depth.count(), m = lines.count();
    pool.run(batch.count() * m, [&](int64_t i, int) {
      const E* from = reinterpret_cast<const E*>(data) + offset + batch.offset_of(i / m) +
                      lines.offset_of(i % m);
      E* out = reinterpret_cast<E*>(to) + i * k;
      for (int64_t p = 0; p < k; p++) out[p] = from[depth.offset_of(p)];
    });
  }
  void copy(const char* data, char* to, ThreadPool& pool) const {
    switch (size_of(dtype)) {
      case 1: return copy_as<uint8_t>(data, to, pool);
      case 2: return copy_as<uint16_t>(data, to, pool);
      case 4: return copy_as<uint32_t>(data, to, pool);
      default: return copy_as<uint64_t>(data, to, pool);
    }
  }
};

constexpr int64_t kSmallProduct = 4 << 20;  // multiplications: 100 us on one core

template <class T>
class DotKernel : public Kernel {
 public:
  DotKernel(const LibraryKernel& k, const Target& target)
      : v_(*target.vectors), result_(k.operands[2].dtype), result_at_(k.operands[2].offset) {
    const DotAttrs& d = std::get<DotAttrs>(k.attrs);
    a_ = operand_of(k.operands[0], d.batch_a, d.contract_a);
    b_ = operand_of(k.operands[1], d.batch_b, d.contract_b);
    m_ = a_.lines.count(), n_ = b_.lines.count(), k_ = a_.depth.count(), batch_ = a_.batch.count();
    is_small_ = batch_ > 1 && m_ * n_ * k_ <= kSmallProduct;
    copy_a_ = a_.is_copied ? round_up(a_.bytes(), 64) : 0;
    copy_b_ = b_.is_copied ? round_up(b_.bytes(), 64) : 0;
    shared_scratch_ = static_cast<uint64_t>(copy_a_ + copy_b_);
    is_skinny_ = std::is_same_v<T, float> && a_.dtype == DType::f32 && result_ == DType::f32 &&
                 !b_.is_copied && !is_small_ &&
                 SkinnyGemm::fits(m_, n_, k_, b_.line_step, b_.depth_step);
    is_thin_ = !is_skinny_ && !is_small_ && !b_.is_copied && GemmType<T>::is_direct(a_.dtype) &&
               GemmType<T>::is_direct(result_) && ThinGemm<T>::fits(m_, n_, k_, b_.line_step);
    if (is_skinny_)
      shared_scratch_ += SkinnyGemm(v_, m_, n_, k_).shared_bytes();
    else if (is_thin_)
      thread_scratch_ = ThinGemm<T>(v_, m_, n_, k_).scratch_bytes();
    else if (is_small_)
      thread_scratch_ = SmallGemm<T>(v_, m_, n_, k_, result_).scratch_bytes();
    else
      shared_scratch_ += PooledGemm<T>(v_, m_, n_, k_, result_).shared_bytes(),
          thread_scratch_ = PooledGemm<T>(v_, m_, n_, k_, result_).thread_bytes();
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t size = static_cast<int64_t>(size_of(result_));
    char* out = buffers[2] + result_at_ * size;
    if (m_ * n_ * batch_ == 0) return ok_status();
    char* copy_a = context.shared;
    char* copy_b = copy_a + copy_a_;
    if (a_.is_copied) a_.copy(buffers[0], copy_a, context.pool);
    if (b_.is_copied) b_.copy(buffers[1], copy_b, context.pool);
    const auto product = [&](int64_t i, auto&& gemm) {
      MatrixView b = b_.view(buffers[1], copy_b, i);
      std::swap(b.row, b.col);
      gemm(a_.view(buffers[0], copy_a, i), b, out + i * m_ * n_ * size);
    };
    if (is_small_) {
      const SmallGemm<T> gemm(v_, m_, n_, k_, result_);
      context.pool.run(batch_, [&](int64_t i, int thread) {
        product(i, [&](MatrixView a, MatrixView b, char* c) {
          gemm.run(a, b, c, context.scratch[thread]);
        });
      });
      return ok_status();
    }
    RunContext inner = {context.pool, context.scratch, copy_b + copy_b_};
    for (int64_t i = 0; i < batch_ && is_skinny_; i++)
      product(i, [&](MatrixView a, MatrixView b, char* c) {
        SkinnyGemm(v_, m_, n_, k_).run(a, b, c, inner);
      });
    if (is_skinny_) return ok_status();
    for (int64_t i = 0; i < batch_ && is_thin_; i++)
      product(i, [&](MatrixView a, MatrixView b, char* c) {
        ThinGemm<T>(v_, m_, n_, k_).run(a, b, c, inner);
      });
    if (is_thin_) return ok_status();
    const PooledGemm<T> gemm(v_, m_, n_, k_, result_);
    for (int64_t i = 0; i < batch_; i++)
      product(i, [&](MatrixView a, MatrixView b, char* c) { gemm.run(a, b, c, inner); });
    return ok_status();
  }

 private:
  static DotOperand operand_of(const Operand& x, const Shape& batch, const Shape& contract) {
    DotOperand o;
    o.dtype = x.dtype, o.offset = x.offset;
    o.batch = group_of(x, batch), o.depth = group_of(x, contract);
    o.lines = group_of(x, free_axes(x, batch, contract));
    o.choose();
    return o;
  }

  const VectorOps& v_;
  const DType result_;
  const int64_t result_at_;
  DotOperand a_, b_;
  int64_t m_ = 0, n_ = 0, k_ = 0, batch_ = 0, copy_a_ = 0, copy_b_ = 0;
  bool is_small_ = false, is_skinny_ = false, is_thin_ = false;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_dot_general(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (is_complex(t))
    return unimplemented(
        "[dot_general] complex numbers are not supported; run this operator on the CPU: x.cpu()");
  if (t == DType::f64) return std::unique_ptr<Kernel>(new DotKernel<double>(k, target));
  if (is_float(t)) return std::unique_ptr<Kernel>(new DotKernel<float>(k, target));
  return std::unique_ptr<Kernel>(new DotKernel<int64_t>(k, target));
}

}  // namespace moai::cpu
