// sort and topk: stable radix sort of order-preserving keys; lines in parallel. nonzero.
#include <algorithm>
#include <bit>
#include <cstring>

#include "src/device/cpu/element.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

struct Entry {
  uint64_t key;
  int64_t index;
};

// Unsigned keys in the order of the values: NaN is largest, both zeros are equal.
uint64_t key_of(double v) {
  if (v != v) return UINT64_MAX;
  const uint64_t u = std::bit_cast<uint64_t>(v == 0 ? 0.0 : v);
  return u >> 63 ? ~u : u | uint64_t{1} << 63;
}
uint64_t key_of(float v) {  // in the upper half of a key of its own
  if (v != v) return UINT32_MAX;
  const uint32_t u = std::bit_cast<uint32_t>(v == 0 ? 0.0f : v);
  return u >> 31 ? ~u : u | 1u << 31;
}
uint64_t key_of(int64_t v) {
  return static_cast<uint64_t>(v) ^ uint64_t { 1 } << 63;
}

// Sorts by key, keeping the order of equal ones. Returns where the result is: a or b.
Entry* radix_sort(Entry* a, Entry* b, int64_t n) {
  if (n <= 32) {
    for (int64_t i = 1; i < n; i++) {
      const Entry e = a[i];
      int64_t j = i;
      for (; j > 0 && a[j - 1].key > e.key; j--) a[j] = a[j - 1];
      a[j] = e;
    }
    return a;
  }
  uint64_t differs = 0;
  for (int64_t i = 1; i < n; i++) differs |= a[i].key ^ a[0].key;
  for (int shift = 0; shift < 64; shift += 8) {
    if ((differs >> shift & 0xFF) == 0) continue;
    int64_t at[257] = {};
    for (int64_t i = 0; i < n; i++) at[(a[i].key >> shift & 0xFF) + 1]++;
    for (int d = 0; d < 256; d++) at[d + 1] += at[d];
    for (int64_t i = 0; i < n; i++) b[at[a[i].key >> shift & 0xFF]++] = a[i];
    std::swap(a, b);
  }
  return a;
}

template <class E>
class SortKernel : public Kernel {
 public:
  explicit SortKernel(const LibraryKernel& k)
      : attrs_(std::get<SortAttrs>(k.attrs)),
        view_(k.operands[0].sizes, attrs_.axis),
        kept_(k.operands[1].sizes[static_cast<int>(attrs_.axis)]) {
    thread_scratch_ = static_cast<uint64_t>(view_.size) * 2 * sizeof(Entry) + 64;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const auto* x = reinterpret_cast<const Stored*>(buffers[0]);
    auto* values = reinterpret_cast<Stored*>(buffers[1]);
    auto* indices = reinterpret_cast<int64_t*>(buffers[2]);
    const int64_t lines = view_.outer * view_.inner,
                  per_task = std::max<int64_t>(1, 1024 / std::max<int64_t>(1, view_.size));
    context.pool.run((lines + per_task - 1) / per_task, [&](int64_t task, int thread) {
      for (int64_t i = task * per_task; i < std::min(lines, (task + 1) * per_task); i++) {
        const int64_t o = i / view_.inner, n = i % view_.inner, to = o * kept_ * view_.inner + n;
        sort_line(x + o * view_.size * view_.inner + n, values + to, indices + to,
                  reinterpret_cast<Entry*>(context.scratch[thread]));
      }
    });
    return ok_status();
  }

 private:
  using Stored = typename E::Stored;

  void sort_line(const Stored* x, Stored* values, int64_t* indices, Entry* scratch) const {
    const uint64_t flip = attrs_.descending ? UINT64_MAX : 0;
    for (int64_t i = 0; i < view_.size; i++)
      scratch[i] = {key_of(E::load(x[i * view_.inner])) ^ flip, i};
    const Entry* sorted = radix_sort(scratch, scratch + view_.size, view_.size);
    for (int64_t i = 0; i < kept_; i++) {
      values[i * view_.inner] = x[sorted[i].index * view_.inner];
      indices[i * view_.inner] = sorted[i].index;
    }
  }

  const SortAttrs attrs_;
  const AxisView view_;
  const int64_t kept_;
};

template <class E>
class NonzeroKernel : public Kernel {
 public:
  explicit NonzeroKernel(const LibraryKernel& k)
      : sizes_(k.operands[0].sizes), rows_(k.operands[1].sizes[0]) {}

  Status run(std::span<char* const> buffers, RunContext&) override {
    const auto* x = reinterpret_cast<const typename E::Stored*>(buffers[0]);
    auto* out = reinterpret_cast<int64_t*>(buffers[1]);
    const int rank = sizes_.rank();
    int64_t row = 0;
    for (int64_t i = 0; i < sizes_.numel() && row < rows_; i++) {
      if (E::load(x[i]) == 0) continue;
      int64_t left = i;
      for (int d = rank - 1; d >= 0; left /= sizes_[d], d--) out[row * rank + d] = left % sizes_[d];
      row++;
    }
    std::fill(out + row * rank, out + rows_ * rank, 0);
    return ok_status();
  }

 private:
  const Shape sizes_;
  const int64_t rows_;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_sort(const LibraryKernel& k) {
  std::unique_ptr<Kernel> kernel;
  if (!with_element(k.operands[0].dtype,
                    [&](auto e) { kernel.reset(new SortKernel<decltype(e)>(k)); }))
    return refuse_complex(k.op);
  return kernel;
}
StatusOr<std::unique_ptr<Kernel>> make_nonzero(const LibraryKernel& k) {
  std::unique_ptr<Kernel> kernel;
  if (!with_element(k.operands[0].dtype,
                    [&](auto e) { kernel.reset(new NonzeroKernel<decltype(e)>(k)); }))
    return refuse_complex(k.op);
  return kernel;
}

}  // namespace moai::cpu
