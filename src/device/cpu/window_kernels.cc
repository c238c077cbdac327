// reduce_window and max_pool_idx: planes of up to three spatial dimensions.
#include <algorithm>
#include <limits>

#include "src/device/cpu/element.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

// The window's dimensions filled up to three.
struct WindowGeometry {
  int64_t planes = 1, in[3], out[3], window[3], stride[3], dilation[3], pad[3];

  WindowGeometry(const Shape& x, const Shape& y, const WindowAttrs& a) {
    const int rank = a.window.rank(), skip = 3 - rank;
    for (int d = 0; d < x.rank() - rank; d++) planes *= x[d];
    for (int d = 0; d < 3; d++) {
      in[d] = out[d] = window[d] = stride[d] = dilation[d] = 1, pad[d] = 0;
      if (d < skip) continue;
      const int s = d - skip;
      in[d] = x[x.rank() - rank + s], out[d] = y[y.rank() - rank + s];
      window[d] = a.window[s], stride[d] = a.stride[s], dilation[d] = a.dilation[s],
      pad[d] = a.pad_lo[s];
    }
  }
  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }

  // f(position in the plane) for each element of the window at result (z, y, x), in order.
  template <class F>
  void for_each(int64_t z, int64_t y, int64_t x, F&& f) const {
    const int64_t at[3] = {z * stride[0] - pad[0], y * stride[1] - pad[1], x * stride[2] - pad[2]};
    int64_t first[3], last[3];  // kernel positions that lie inside
    for (int d = 0; d < 3; d++) {
      first[d] = at[d] >= 0 ? 0 : (-at[d] + dilation[d] - 1) / dilation[d];
      const int64_t room = in[d] - 1 - at[d];
      last[d] = room < 0 ? -1 : std::min(window[d] - 1, room / dilation[d]);
    }
    for (int64_t i = first[0]; i <= last[0]; i++)
      for (int64_t j = first[1]; j <= last[1]; j++) {
        const int64_t row = ((at[0] + i * dilation[0]) * in[1] + at[1] + j * dilation[1]) * in[2];
        for (int64_t k = first[2]; k <= last[2]; k++) f(row + at[2] + k * dilation[2]);
      }
  }
};

int64_t smallest_of(DType t) {
  switch (t) {
    case DType::i32: return INT32_MIN;
    case DType::i16: return INT16_MIN;
    case DType::i8: return INT8_MIN;
    case DType::u8:
    case DType::boolean: return 0;
    default: return INT64_MIN;
  }
}
int64_t largest_of(DType t) {
  switch (t) {
    case DType::boolean: return 1;
    case DType::u8: return UINT8_MAX;
    default: return ~smallest_of(t);
  }
}
template <class V>
V lowest(DType t) {
  if constexpr (std::is_floating_point_v<V>)
    return -std::numeric_limits<V>::infinity();
  else
    return smallest_of(t);
}
template <class V>
V highest(DType t) {
  if constexpr (std::is_floating_point_v<V>)
    return std::numeric_limits<V>::infinity();
  else
    return largest_of(t);
}

// Runs f(plane, thread) so that a task is at least some 10 us of work.
template <class F>
void for_each_plane(const WindowGeometry& g, ThreadPool& pool, F&& f) {
  const int64_t work = std::max<int64_t>(1, g.out_size() * g.window[0] * g.window[1] * g.window[2]);
  const int64_t per_task = std::max<int64_t>(1, 16384 / work);
  pool.run((g.planes + per_task - 1) / per_task, [&](int64_t task, int thread) {
    for (int64_t p = task * per_task; p < std::min(g.planes, (task + 1) * per_task); p++)
      f(p, thread);
  });
}

// Results [k, k + n) of one row: each tap of the window meets a range of them.
void pool_row_part(const WindowGeometry& g, const VectorOps& v, const float* x, int64_t i,
                   int64_t j, int64_t k, int64_t n, float* best, int32_t* place) {
  std::fill_n(best, n, -std::numeric_limits<float>::infinity());
  std::fill_n(place, n, -1);
  for (int64_t a = 0; a < g.window[0]; a++)
    for (int64_t b = 0; b < g.window[1]; b++) {
      const int64_t z = i * g.stride[0] + a * g.dilation[0] - g.pad[0],
                    y = j * g.stride[1] + b * g.dilation[1] - g.pad[1];
      if (z < 0 || z >= g.in[0] || y < 0 || y >= g.in[1]) continue;
      for (int64_t c = 0; c < g.window[2]; c++) {
        const int64_t step = g.stride[2], shift = c * g.dilation[2] - g.pad[2],
                      room = g.in[2] - 1 - shift;
        const int64_t first = std::max(k, shift >= 0 ? 0 : (-shift + step - 1) / step),
                      last = room < 0 ? -1 : std::min(k + n - 1, room / step);
        const int64_t at = (z * g.in[1] + y) * g.in[2] + first * step + shift;
        if (first <= last)
          v.pool_row(x + at, step, static_cast<int32_t>(at), last - first + 1, best + first - k,
                     place + first - k);
      }
    }
}
void pool_rows(const WindowGeometry& g, const VectorOps& v, const float* x, float* y,
               int64_t* index) {
  constexpr int64_t kPart = 256;
  int32_t place[kPart];
  for (int64_t i = 0; i < g.out[0]; i++)
    for (int64_t j = 0; j < g.out[1]; j++)
      for (int64_t k = 0; k < g.out[2]; k += kPart) {
        const int64_t n = std::min(kPart, g.out[2] - k);
        pool_row_part(g, v, x, i, j, k, n, y, place);
        for (int64_t c = 0; c < n; c++) index[c] = std::max(place[c], 0);
        y += n, index += n;
      }
}

template <class E>
class WindowKernel : public Kernel {
 public:
  WindowKernel(const LibraryKernel& k, const VectorOps& v)
      : v_(v),
        kind_(std::get<WindowAttrs>(k.attrs).kind),
        dtype_(k.operands[0].dtype),
        has_index_(k.op == Prim::max_pool_idx),
        g_(k.operands[0].sizes, k.operands[1].sizes, std::get<WindowAttrs>(k.attrs)) {
    if (has_index_ && kIsHalf)
      thread_scratch_ = static_cast<uint64_t>(g_.in_size() + g_.out_size()) * sizeof(float);
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const auto* x = reinterpret_cast<const Stored*>(buffers[0]);
    auto* y = reinterpret_cast<Stored*>(buffers[1]);
    auto* index = has_index_ ? reinterpret_cast<int64_t*>(buffers[2]) : nullptr;
    for_each_plane(g_, context.pool, [&](int64_t p, int thread) {
      const Stored* from = x + p * g_.in_size();
      Stored* to = y + p * g_.out_size();
      if (has_index_)
        return pool_plane(from, to, index + p * g_.out_size(), context.scratch[thread]);
      switch (kind_) {
        case ReduceKind::prod:
          return reduce_plane(from, to, V(1), [](V a, V b) { return static_cast<V>(a * b); });
        case ReduceKind::any:
        case ReduceKind::max:
          return reduce_plane(from, to, lowest<V>(dtype_), [](V a, V b) { return maximum(a, b); });
        case ReduceKind::all:
        case ReduceKind::min:
          return reduce_plane(from, to, highest<V>(dtype_), [](V a, V b) { return minimum(a, b); });
        default:
          return reduce_plane(from, to, V(0), [](V a, V b) { return static_cast<V>(a + b); });
      }
    });
    return ok_status();
  }

 private:
  using Stored = typename E::Stored;
  using V = typename E::Value;
  static constexpr bool kIsHalf = std::is_same_v<V, float> && sizeof(Stored) == 2;

  template <class F>
  void reduce_plane(const Stored* x, Stored* y, V first, F&& combine) const {
    for (int64_t i = 0; i < g_.out[0]; i++)
      for (int64_t j = 0; j < g_.out[1]; j++)
        for (int64_t k = 0; k < g_.out[2]; k++) {
          V sum = first;
          g_.for_each(i, j, k, [&](int64_t at) { sum = combine(sum, E::load(x[at])); });
          *y++ = E::store(sum);
        }
  }

  void pool_floats(const float* x, float* y, int64_t* index) const {
    if (is_two_by_two()) return v_.pool_two_by_two(x, g_.in[2], g_.out[1], g_.out[2], y, index);
    pool_rows(g_, v_, x, y, index);
  }
  void pool_plane(const Stored* x, Stored* y, int64_t* index, char* scratch) const {
    if (g_.in_size() <= INT32_MAX) {
      if constexpr (std::is_same_v<Stored, float>) return pool_floats(x, y, index);
      if constexpr (kIsHalf) {
        float* wide = reinterpret_cast<float*>(scratch);
        float* best = wide + g_.in_size();
        v_.to_f32(dtype_, x, 1, wide, g_.in_size());
        pool_floats(wide, best, index);
        return v_.from_f32(dtype_, best, y, g_.out_size());
      }
    }
    for (int64_t i = 0; i < g_.out[0]; i++)
      for (int64_t j = 0; j < g_.out[1]; j++)
        for (int64_t k = 0; k < g_.out[2]; k++) {
          V best = lowest<V>(dtype_);
          int64_t where = -1;
          g_.for_each(i, j, k, [&](int64_t at) {
            const V v = E::load(x[at]);
            if (where < 0 || precedes(best, v)) best = v, where = at;
          });
          *y++ = E::store(best);
          *index++ = std::max<int64_t>(where, 0);
        }
  }

  bool is_two_by_two() const {
    return g_.in[0] == 1 && g_.window[0] == 1 && g_.window[1] == 2 && g_.window[2] == 2 &&
           g_.stride[1] == 2 && g_.stride[2] == 2 && g_.dilation[1] == 1 && g_.dilation[2] == 1 &&
           g_.pad[0] == 0 && g_.pad[1] == 0 && g_.pad[2] == 0 && g_.out[0] == 1 &&
           g_.out[1] * 2 <= g_.in[1] && g_.out[2] * 2 <= g_.in[2];
  }

  const VectorOps& v_;
  const ReduceKind kind_;
  const DType dtype_;
  const bool has_index_;
  const WindowGeometry g_;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_window(const LibraryKernel& k, const Target& target) {
  if (std::get<WindowAttrs>(k.attrs).kind == ReduceKind::logsumexp)
    return unimplemented(
        "[reduce_window] logsumexp of a window is not supported; take the log of a sum window of "
        "exponentials");
  std::unique_ptr<Kernel> kernel;
  if (!with_element(k.operands[0].dtype, [&](auto e) {
        kernel.reset(new WindowKernel<decltype(e)>(k, *target.vectors));
      }))
    return refuse_complex(k.op);
  return kernel;
}

}  // namespace moai::cpu
