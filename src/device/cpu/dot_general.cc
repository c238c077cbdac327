// dot_general: a list of matrix products. Groups of axes that are evenly spaced become one matrix
// dimension; others are first copied into order.
#include "src/device/cpu/bf16_gemm.h"
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

// The products of a dot_general, and where their operands lie.
struct Dot {
  explicit Dot(const LibraryKernel& kernel)
      : result(kernel.operands[2].dtype), result_at(kernel.operands[2].offset) {
    const DotAttrs& d = std::get<DotAttrs>(kernel.attrs);
    a = operand_of(kernel.operands[0], d.batch_a, d.contract_a);
    b = operand_of(kernel.operands[1], d.batch_b, d.contract_b);
    m = a.lines.count(), n = b.lines.count(), k = a.depth.count(), batch = a.batch.count();
    copy_a = a.is_copied ? round_up(a.bytes(), 64) : 0;
    copy_b = b.is_copied ? round_up(b.bytes(), 64) : 0;
  }

  int64_t copied_bytes() const { return copy_a + copy_b; }
  void copy_operands(std::span<char* const> buffers, RunContext& context) const {
    if (a.is_copied) a.copy(buffers[0], context.shared, context.pool);
    if (b.is_copied) b.copy(buffers[1], context.shared + copy_a, context.pool);
  }
  // gemm(a, b, c) of product i.
  template <class Gemm>
  void product(std::span<char* const> buffers, const char* copies, int64_t i, Gemm&& gemm) const {
    const int64_t size = static_cast<int64_t>(size_of(result));
    MatrixView right = b.view(buffers[1], copies + copy_a, i);
    std::swap(right.row, right.col);
    gemm(a.view(buffers[0], copies, i), right, buffers[2] + (result_at + i * m * n) * size);
  }

  DotOperand a, b;
  DType result;
  int64_t result_at, m = 0, n = 0, k = 0, batch = 0, copy_a = 0, copy_b = 0;

 private:
  static DotOperand operand_of(const Operand& x, const Shape& batch, const Shape& contract) {
    DotOperand o;
    o.dtype = x.dtype, o.offset = x.offset;
    o.batch = group_of(x, batch), o.depth = group_of(x, contract);
    o.lines = group_of(x, free_axes(x, batch, contract));
    o.choose();
    return o;
  }
};

constexpr int64_t kSmallProduct = 4 << 20;  // multiplications: 100 us on one core

template <class T>
class DotKernel : public Kernel {
 public:
  DotKernel(const LibraryKernel& kernel, const Target& target) : v_(*target.vectors), dot_(kernel) {
    const int64_t m = dot_.m, n = dot_.n, k = dot_.k;
    const DotOperand& b = dot_.b;
    is_small_ = dot_.batch > 1 && m * n * k <= kSmallProduct;
    shared_scratch_ = static_cast<uint64_t>(dot_.copied_bytes());
    is_skinny_ = std::is_same_v<T, float> && dot_.a.dtype == DType::f32 &&
                 dot_.result == DType::f32 && !b.is_copied && !is_small_ &&
                 SkinnyGemm::fits(m, n, k, b.line_step, b.depth_step);
    is_thin_ = !is_skinny_ && !is_small_ && !b.is_copied && GemmType<T>::is_direct(dot_.a.dtype) &&
               GemmType<T>::is_direct(dot_.result) && ThinGemm<T>::fits(m, n, k, b.line_step);
    if (is_skinny_)
      shared_scratch_ += SkinnyGemm(v_, m, n, k).shared_bytes();
    else if (is_thin_)
      thread_scratch_ = ThinGemm<T>(v_, m, n, k).scratch_bytes();
    else if (is_small_)
      thread_scratch_ = SmallGemm<T>(v_, m, n, k, dot_.result).scratch_bytes();
    else
      shared_scratch_ += PooledGemm<T>(v_, m, n, k, dot_.result).shared_bytes(),
          thread_scratch_ = PooledGemm<T>(v_, m, n, k, dot_.result).thread_bytes();
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t m = dot_.m, n = dot_.n, k = dot_.k;
    if (m * n * dot_.batch == 0) return ok_status();
    dot_.copy_operands(buffers, context);
    if (is_small_) {
      const SmallGemm<T> gemm(v_, m, n, k, dot_.result);
      context.pool.run(dot_.batch, [&](int64_t i, int thread) {
        dot_.product(buffers, context.shared, i, [&](MatrixView a, MatrixView b, char* c) {
          gemm.run(a, b, c, context.scratch[thread]);
        });
      });
      return ok_status();
    }
    RunContext inner = {context.pool, context.scratch, context.shared + dot_.copied_bytes()};
    const auto run_all = [&](auto&& gemm) {
      for (int64_t i = 0; i < dot_.batch; i++)
        dot_.product(buffers, context.shared, i,
                     [&](MatrixView a, MatrixView b, char* c) { gemm.run(a, b, c, inner); });
    };
    if (is_skinny_)
      run_all(SkinnyGemm(v_, m, n, k));
    else if (is_thin_)
      run_all(ThinGemm<T>(v_, m, n, k));
    else
      run_all(PooledGemm<T>(v_, m, n, k, dot_.result));
    return ok_status();
  }

 private:
  const VectorOps& v_;
  const Dot dot_;
  bool is_small_ = false, is_skinny_ = false, is_thin_ = false;
};

// bf16 by the processor's unit for it.
class Bf16DotKernel : public Kernel {
 public:
  Bf16DotKernel(const LibraryKernel& k, const Target& target)
      : dot_(k), gemm_(*target.vectors, *target.bf16, dot_.m, dot_.n, dot_.k, dot_.result) {
    is_small_ = dot_.batch > 1 && dot_.m * dot_.n * dot_.k <= kSmallBf16;
    shared_scratch_ =
        static_cast<uint64_t>(dot_.copied_bytes()) + (is_small_ ? 0 : gemm_.shared_bytes());
    thread_scratch_ = is_small_ ? gemm_.small_bytes() : gemm_.thread_bytes();
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    if (dot_.m * dot_.n * dot_.batch == 0) return ok_status();
    dot_.copy_operands(buffers, context);
    if (is_small_) {
      context.pool.run(dot_.batch, [&](int64_t i, int thread) {
        dot_.product(buffers, context.shared, i, [&](MatrixView a, MatrixView b, char* c) {
          gemm_.run_small(a, b, c, context.scratch[thread]);
        });
      });
      return ok_status();
    }
    RunContext inner = {context.pool, context.scratch, context.shared + dot_.copied_bytes()};
    for (int64_t i = 0; i < dot_.batch; i++)
      dot_.product(buffers, context.shared, i,
                   [&](MatrixView a, MatrixView b, char* c) { gemm_.run(a, b, c, inner); });
    return ok_status();
  }

 private:
  static constexpr int64_t kSmallBf16 = 32 << 20;  // multiplications: 100 us on one core

  const Dot dot_;
  const Bf16Gemm gemm_;
  bool is_small_ = false;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_dot_general(const LibraryKernel& k, const Target& target) {
  const DType t = k.operands[0].dtype;
  if (target.bf16 != nullptr && t == DType::bf16 && k.operands[1].dtype == DType::bf16 &&
      is_float(k.operands[2].dtype) && k.operands[2].dtype != DType::f64)
    return std::unique_ptr<Kernel>(new Bf16DotKernel(k, target));
  if (is_complex(t)) return refuse_complex(k.op);
  if (t == DType::f64) return std::unique_ptr<Kernel>(new DotKernel<double>(k, target));
  if (is_float(t)) return std::unique_ptr<Kernel>(new DotKernel<float>(k, target));
  return std::unique_ptr<Kernel>(new DotKernel<int64_t>(k, target));
}

}  // namespace moai::cpu
