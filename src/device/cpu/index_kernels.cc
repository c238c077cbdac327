// gather, take_along, scatter, scatter_along, update_slice. Indices are checked before anything is
// addressed.
#include <algorithm>
#include <cstring>

#include "src/device/cpu/element.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kChunk = 16384;  // bytes or elements: some 10 us

// Index operand k as a position, or -1 with the error noted.
class Indices {
 public:
  Indices(DType dtype, int64_t size, Bounds bounds)
      : is_wide_(dtype == DType::i64), size_(size), bounds_(bounds) {}
  int64_t at(const char* data, int64_t k, IndexError& error) const {
    int64_t i = is_wide_ ? reinterpret_cast<const int64_t*>(data)[k]
                         : reinterpret_cast<const int32_t*>(data)[k];
    if (i >= 0 && i < size_) return i;
    if (bounds_ == Bounds::clip && size_ > 0) return std::clamp<int64_t>(i, 0, size_ - 1);
    error.set(i, size_);
    return -1;
  }

 private:
  bool is_wide_;
  int64_t size_;
  Bounds bounds_;
};

Status status_of(const IndexError& e, Prim op) {
  if (!e.is_set.load()) return ok_status();
  return {StatusCode::out_of_range, "[" + std::string(info(op).name) + "] index " +
                                        std::to_string(e.index) + " is outside " +
                                        std::to_string(e.size) + " elements"};
}

class GatherKernel : public Kernel {
 public:
  explicit GatherKernel(const LibraryKernel& k)
      : op_(k.op),
        view_(k.operands[0].sizes, attrs_of(k).axis),
        taken_(k.op == Prim::gather ? k.operands[1].sizes.numel()
                                    : AxisView(k.operands[1].sizes, attrs_of(k).axis).size),
        indices_(k.operands[1].dtype, view_.size, attrs_of(k).bounds),
        bytes_(static_cast<int64_t>(size_of(k.operands[0].dtype))) {}

  Status run(std::span<char* const> buffers, RunContext& context) override {
    IndexError error;
    const char *x = buffers[0], *index = buffers[1];
    char* out = buffers[2];
    const int64_t rows = view_.outer * taken_, row = view_.inner * bytes_;
    const int64_t per_chunk = std::max<int64_t>(1, kChunk / std::max<int64_t>(1, row));
    if (rows * row == 0) return ok_status();
    context.pool.run((rows + per_chunk - 1) / per_chunk, [&](int64_t chunk, int) {
      for (int64_t r = chunk * per_chunk; r < std::min(rows, (chunk + 1) * per_chunk); r++) {
        const char* from = x + r / taken_ * view_.size * row;
        if (op_ == Prim::gather) {
          if (const int64_t i = indices_.at(index, r % taken_, error); i >= 0)
            copy(out + r * row, from + i * row, row);
        } else {
          for (int64_t n = 0; n < view_.inner; n++)
            if (const int64_t i = indices_.at(index, r * view_.inner + n, error); i >= 0)
              copy(out + (r * view_.inner + n) * bytes_, from + (i * view_.inner + n) * bytes_,
                   bytes_);
        }
      }
    });
    return status_of(error, op_);
  }

 private:
  static const IndexAttrs& attrs_of(const LibraryKernel& k) {
    return std::get<IndexAttrs>(k.attrs);
  }
  static void copy(char* to, const char* from, int64_t bytes) {
    if (bytes == 4)
      std::memcpy(to, from, 4);
    else if (bytes == 8)
      std::memcpy(to, from, 8);
    else
      std::memcpy(to, from, static_cast<size_t>(bytes));
  }

  const Prim op_;
  const AxisView view_;
  const int64_t taken_;  // positions along the axis of the result
  const Indices indices_;
  const int64_t bytes_;
};

template <class V>
V combined(ScatterKind kind, V a, V b) {
  switch (kind) {
    case ScatterKind::set: return b;
    case ScatterKind::add: return static_cast<V>(a + b);
    case ScatterKind::mul: return static_cast<V>(a * b);
    case ScatterKind::max: return maximum(a, b);
    case ScatterKind::min: return minimum(a, b);
  }
  return b;
}

// Each part of the work owns a range of rows of the result and takes the updates in order: the same
// sums on any number of threads.
template <class E>
class ScatterKernel : public Kernel {
 public:
  explicit ScatterKernel(const LibraryKernel& k)
      : op_(k.op),
        attrs_(std::get<IndexAttrs>(k.attrs)),
        view_(k.operands[2].sizes, attrs_.axis),
        taken_(k.op == Prim::scatter ? k.operands[0].sizes.numel()
                                     : AxisView(k.operands[0].sizes, attrs_.axis).size),
        indices_(k.operands[0].dtype, view_.size, attrs_.bounds),
        base_is_zero_(k.base_is_zero) {
    const int64_t work = view_.outer * taken_ * view_.inner;
    parts_ = std::clamp<int64_t>(work / kChunk, 1,
                                 std::min<int64_t>(32, std::max<int64_t>(1, view_.size)));
    if (view_.outer >= parts_) parts_ = 1;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    IndexError error;
    const auto* update = reinterpret_cast<const Stored*>(buffers[1]);
    auto* out = reinterpret_cast<Stored*>(buffers[2]);
    if (view_.outer * taken_ * view_.inner == 0) {
      if (base_is_zero_) std::fill_n(out, view_.outer * view_.size * view_.inner, Stored());
      return ok_status();
    }
    // What a bad index leaves half done may be somebody's tensor; zeros of its own are nobody's.
    if (!base_is_zero_) check_all(buffers[0], context, error);
    MOAI_RETURN_IF_ERROR(status_of(error, op_));
    context.pool.run(view_.outer * parts_, [&](int64_t task, int) {
      const int64_t o = task / parts_, part = task % parts_;
      const int64_t first = view_.size * part / parts_, last = view_.size * (part + 1) / parts_;
      if (base_is_zero_)
        std::fill_n(out + (o * view_.size + first) * view_.inner, (last - first) * view_.inner,
                    Stored());
      if (op_ == Prim::scatter)
        rows(buffers[0], update, out, o, first, last, error);
      else
        elements(buffers[0], update, out, o, first, last, error);
    });
    return status_of(error, op_);
  }

 private:
  using Stored = typename E::Stored;

  void check_all(const char* index, RunContext& context, IndexError& error) const {
    const int64_t n = op_ == Prim::scatter ? taken_ : view_.outer * taken_ * view_.inner;
    context.pool.run((n + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
      for (int64_t k = chunk * kChunk; k < std::min(n, (chunk + 1) * kChunk); k++)
        indices_.at(index, k, error);
    });
  }
  void rows(const char* index, const Stored* update, Stored* out, int64_t o, int64_t first,
            int64_t last, IndexError& error) const {
    const int64_t n = view_.inner;
    for (int64_t k = 0; k < taken_; k++) {
      const int64_t i = indices_.at(index, k, error);
      if (i < first || i >= last) continue;
      const Stored* from = update + (o * taken_ + k) * n;
      Stored* to = out + (o * view_.size + i) * n;
      if (attrs_.kind == ScatterKind::set)
        std::copy(from, from + n, to);
      else if (attrs_.kind == ScatterKind::add)
        for (int64_t j = 0; j < n; j++) to[j] = E::store(E::load(to[j]) + E::load(from[j]));
      else
        for (int64_t j = 0; j < n; j++)
          to[j] = E::store(combined(attrs_.kind, E::load(to[j]), E::load(from[j])));
    }
  }
  void elements(const char* index, const Stored* update, Stored* out, int64_t o, int64_t first,
                int64_t last, IndexError& error) const {
    if (attrs_.kind == ScatterKind::add && view_.inner == 1 && parts_ == 1) {
      Stored* row = out + o * view_.size;
      for (int64_t k = o * taken_; k < (o + 1) * taken_; k++)
        if (const int64_t i = indices_.at(index, k, error); i >= 0)
          row[i] = E::store(combined(ScatterKind::add, E::load(row[i]), E::load(update[k])));
      return;
    }
    for (int64_t k = o * taken_ * view_.inner; k < (o + 1) * taken_ * view_.inner; k++) {
      const int64_t i = indices_.at(index, k, error);
      if (i < first || i >= last) continue;
      Stored& to = out[(o * view_.size + i) * view_.inner + k % view_.inner];
      to = attrs_.kind == ScatterKind::set
               ? update[k]
               : E::store(combined(attrs_.kind, E::load(to), E::load(update[k])));
    }
  }

  const Prim op_;
  const IndexAttrs attrs_;
  const AxisView view_;
  const int64_t taken_;
  const Indices indices_;
  const bool base_is_zero_;
  int64_t parts_ = 1;
};

class UpdateSliceKernel : public Kernel {
 public:
  explicit UpdateSliceKernel(const LibraryKernel& k)
      : attrs_(std::get<SliceAttrs>(k.attrs)),
        update_(k.operands[k.operands.size() - 2]),
        out_(k.operands.back()) {}

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const int64_t bytes = static_cast<int64_t>(size_of(out_.dtype)), n = update_.sizes.numel();
    const int rank = update_.sizes.rank();
    if (n == 0) return ok_status();
    const char* from = buffers[buffers.size() - 2] + update_.offset * bytes;
    char* to = buffers.back() + out_.offset * bytes;
    const int64_t row = rank > 0 ? update_.sizes.back() : 1;
    context.pool.run(n / row, [&](int64_t r, int) {
      int64_t x = 0, y = 0, left = r;
      for (int d = rank - 2; d >= 0; left /= update_.sizes[d], d--) {
        const int64_t i = left % update_.sizes[d];
        x += i * update_.strides[d], y += (attrs_.start[d] + i * attrs_.step[d]) * out_.strides[d];
      }
      const int last = rank - 1;
      const int64_t step_x = rank > 0 ? update_.strides[last] : 0;
      const int64_t step_y = rank > 0 ? attrs_.step[last] * out_.strides[last] : 0;
      if (rank > 0) y += attrs_.start[last] * out_.strides[last];
      if (step_x == 1 && step_y == 1) {
        std::memcpy(to + y * bytes, from + x * bytes, static_cast<size_t>(row * bytes));
        return;
      }
      for (int64_t i = 0; i < row; i++)
        std::memcpy(to + (y + i * step_y) * bytes, from + (x + i * step_x) * bytes,
                    static_cast<size_t>(bytes));
    });
    return ok_status();
  }

 private:
  const SliceAttrs attrs_;
  const Operand update_, out_;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_gather(const LibraryKernel& k) {
  return std::unique_ptr<Kernel>(new GatherKernel(k));
}
StatusOr<std::unique_ptr<Kernel>> make_scatter(const LibraryKernel& k) {
  std::unique_ptr<Kernel> kernel;
  if (!with_element(k.operands[2].dtype,
                    [&](auto e) { kernel.reset(new ScatterKernel<decltype(e)>(k)); }))
    return refuse_complex(k.op);
  return kernel;
}
StatusOr<std::unique_ptr<Kernel>> make_update_slice(const LibraryKernel& k) {
  return std::unique_ptr<Kernel>(new UpdateSliceKernel(k));
}

}  // namespace moai::cpu
