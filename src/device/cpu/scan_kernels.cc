// scan, scan_arg and arg_reduce: along one axis, lines in parallel.
#include <algorithm>
#include <cmath>
#include <limits>

#include "src/device/cpu/element.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

constexpr int64_t kChunk = 16384;

// Runs f(outer, inner) for every line, so that a task is at least some 10 us of work.
template <class F>
void for_each_line(const AxisView& v, ThreadPool& pool, F&& f) {
  const int64_t lines = v.outer * v.inner;
  const int64_t per_task = std::max<int64_t>(1, kChunk / std::max<int64_t>(1, v.size));
  pool.run((lines + per_task - 1) / per_task, [&](int64_t task, int) {
    for (int64_t i = task * per_task; i < std::min(lines, (task + 1) * per_task); i++)
      f(i / v.inner, i % v.inner);
  });
}

// Sums in f64 whatever the float: a scan adds in one long chain.
template <class V>
using SumOf = std::conditional_t<std::is_floating_point_v<V>, double, int64_t>;

// log(sum(exp)) of what was added so far.
struct LogSum {
  double largest = -std::numeric_limits<double>::infinity(), scaled = 0;
  double add(double v) {
    if (v != v || largest != largest) {
      largest = std::numeric_limits<double>::quiet_NaN();
    } else if (v > largest) {
      scaled = (std::isinf(v) ? 0 : scaled * std::exp(largest - v)) + 1;
      largest = v;
    } else if (!std::isinf(v) || v > 0) {
      scaled += v == largest ? 1 : std::exp(v - largest);
    }
    return scaled > 0 ? largest + std::log(scaled) : largest;
  }
};

// Whether v replaces best: NaN wins; on a tie the last one if `last`.
template <class V>
bool replaces(bool is_max, V best, V v, bool last) {
  if (best != best) return last && v != v;
  if (v != v) return true;
  return (is_max ? best < v : v < best) || (last && v == best);
}

template <class E>
class ScanKernel : public Kernel {
 public:
  explicit ScanKernel(const LibraryKernel& k)
      : op_(k.op), attrs_(std::get<ScanAttrs>(k.attrs)), view_(k.operands[0].sizes, attrs_.axis) {}

  Status run(std::span<char* const> buffers, RunContext& context) override {
    const auto* x = reinterpret_cast<const Stored*>(buffers[0]);
    for_each_line(view_, context.pool, [&](int64_t o, int64_t n) {
      const int64_t at = o * view_.size * view_.inner + n;
      if (op_ == Prim::arg_reduce) {
        reinterpret_cast<int64_t*>(buffers[1])[o * view_.inner + n] = best_of(x + at);
      } else if (op_ == Prim::scan_arg) {
        scan_arg(x + at, reinterpret_cast<Stored*>(buffers[1]) + at,
                 reinterpret_cast<int64_t*>(buffers[2]) + at);
      } else {
        scan(x + at, reinterpret_cast<Stored*>(buffers[1]) + at);
      }
    });
    return ok_status();
  }

 private:
  using Stored = typename E::Stored;
  using V = typename E::Value;

  int64_t best_of(const Stored* x) const {
    const bool is_max = attrs_.kind == ReduceKind::max;
    V best = E::load(x[0]);
    int64_t where = 0;
    for (int64_t i = 1; i < view_.size; i++) {
      const V v = E::load(x[i * view_.inner]);
      if (replaces(is_max, best, v, false)) best = v, where = i;
    }
    return where;
  }
  void scan_arg(const Stored* x, Stored* y, int64_t* index) const {
    const bool is_max = attrs_.kind == ReduceKind::max;
    int64_t where = 0;
    for (int64_t i = 0; i < view_.size; i++) {
      if (replaces(is_max, E::load(x[where * view_.inner]), E::load(x[i * view_.inner]), true))
        where = i;
      y[i * view_.inner] = x[where * view_.inner];
      index[i * view_.inner] = where;
    }
  }
  template <class F>
  void fold(const Stored* x, Stored* y, F&& step) const {
    for (int64_t i = 0; i < view_.size; i++)
      y[i * view_.inner] = E::store(static_cast<V>(step(E::load(x[i * view_.inner]), i == 0)));
  }
  void scan(const Stored* x, Stored* y) const {
    using S = SumOf<V>;
    S sum = 0;
    LogSum log_sum;
    switch (attrs_.kind) {
      case ReduceKind::sum: return fold(x, y, [&](V v, bool) { return sum += static_cast<S>(v); });
      case ReduceKind::prod:
        sum = 1;
        return fold(x, y, [&](V v, bool) { return sum *= static_cast<S>(v); });
      case ReduceKind::any:
      case ReduceKind::max:
        return fold(x, y, [&](V v, bool is_first) {
          return sum = is_first ? static_cast<S>(v) : maximum(sum, static_cast<S>(v));
        });
      case ReduceKind::all:
      case ReduceKind::min:
        return fold(x, y, [&](V v, bool is_first) {
          return sum = is_first ? static_cast<S>(v) : minimum(sum, static_cast<S>(v));
        });
      case ReduceKind::logsumexp:
        return fold(x, y, [&](V v, bool) { return log_sum.add(static_cast<double>(v)); });
    }
  }

  const Prim op_;
  const ScanAttrs attrs_;
  const AxisView view_;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_scan(const LibraryKernel& k) {
  std::unique_ptr<Kernel> kernel;
  if (!with_element(k.operands[0].dtype,
                    [&](auto e) { kernel.reset(new ScanKernel<decltype(e)>(k)); }))
    return refuse_complex(k.op);
  return kernel;
}

}  // namespace moai::cpu
