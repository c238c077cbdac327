#include "src/device/cpu/contiguous_operand.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace moai::cpu {
namespace {

template <class E>
void copy_row(const E* from, int64_t step, int64_t n, E* to) {
  for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}

// Copies elements in the order of x's dimensions.
void copy_in_order(const Operand& x, const char* from, char* to, ThreadPool& pool) {
  const int last = x.sizes.rank() - 1;
  const int64_t size = static_cast<int64_t>(size_of(x.dtype)), n = last < 0 ? 1 : x.sizes[last],
                step = last < 0 ? 1 : x.strides[last];
  if (x.sizes.numel() == 0) return;
  pool.run(x.sizes.numel() / n, [&](int64_t row, int) {
    int64_t at = x.offset, left = row;
    for (int d = last - 1; d >= 0; d--) at += left % x.sizes[d] * x.strides[d], left /= x.sizes[d];
    const char* a = from + at * size;
    char* b = to + row * n * size;
    switch (size) {
      case 2:
        return copy_row(reinterpret_cast<const uint16_t*>(a), step, n,
                        reinterpret_cast<uint16_t*>(b));
      case 4:
        return copy_row(reinterpret_cast<const uint32_t*>(a), step, n,
                        reinterpret_cast<uint32_t*>(b));
      case 8:
        return copy_row(reinterpret_cast<const uint64_t*>(a), step, n,
                        reinterpret_cast<uint64_t*>(b));
      default:
        for (int64_t i = 0; i < n; i++)
          std::memcpy(b + i * size, a + i * step * size, static_cast<size_t>(size));
    }
  });
}

class CopyingKernel : public Kernel {
 public:
  CopyingKernel(std::unique_ptr<Kernel> kernel, size_t at, const Operand& x)
      : kernel_(std::move(kernel)), at_(at), x_(x) {
    copy_at_ = (kernel_->shared_scratch_bytes() + 63) / 64 * 64;
    thread_scratch_ = kernel_->thread_scratch_bytes();
    shared_scratch_ = copy_at_ + static_cast<uint64_t>(x_.sizes.numel()) * size_of(x_.dtype);
  }
  Status run(std::span<char* const> buffers, RunContext& context) override {
    char* copy = context.shared + copy_at_;
    copy_in_order(x_, buffers[at_], copy, context.pool);
    char* all[kBuffersMax];
    std::copy(buffers.begin(), buffers.end(), all);
    all[at_] = copy;
    return kernel_->run({all, buffers.size()}, context);
  }

  static constexpr size_t kBuffersMax = 8;

 private:
  const std::unique_ptr<Kernel> kernel_;
  const size_t at_;
  const Operand x_;
  uint64_t copy_at_ = 0;
};

}  // namespace

bool is_in_order(const Operand& x) {
  const Shape want = contiguous_strides(x.sizes);
  for (int d = 0; d < x.sizes.rank(); d++)
    if (x.sizes[d] > 1 && x.strides[d] != want[d]) return false;
  return true;
}

StatusOr<std::unique_ptr<Kernel>> with_contiguous_operand(const LibraryKernel& k, size_t i,
                                                          const MakeKernel& make) {
  if (is_in_order(k.operands[i]) || k.operands.size() > CopyingKernel::kBuffersMax) return make(k);
  LibraryKernel in_order = k;
  in_order.operands[i].strides = contiguous_strides(k.operands[i].sizes);
  in_order.operands[i].offset = 0;
  MOAI_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, make(in_order));
  return std::unique_ptr<Kernel>(new CopyingKernel(std::move(kernel), i, k.operands[i]));
}

}  // namespace moai::cpu
