// Reductions, windows and scans over f64 and i64 accumulators.
#include <cmath>
#include <limits>

#include "src/ir/eval_call.h"
#include "src/ir/scalar.h"

namespace moai::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

int64_t largest_int(DType t) {
  switch (t) {
    case DType::i32: return INT32_MAX;
    case DType::i16: return INT16_MAX;
    case DType::i8: return INT8_MAX;
    case DType::u8: return UINT8_MAX;
    case DType::boolean: return 1;
    default: return INT64_MAX;
  }
}
int64_t smallest_int(DType t) {
  return t == DType::u8 || t == DType::boolean ? 0 : -largest_int(t) - 1;
}

}  // namespace

bool is_nan(const Tensor& t, int64_t i) {
  return is_float(t.type.dtype) && std::isnan(get_real(t, i));
}

bool is_less(const Tensor& t, int64_t a, int64_t b) {
  if (!is_float(t.type.dtype)) return get_int(t, a) < get_int(t, b);
  double x = get_real(t, a), y = get_real(t, b);
  if (std::isnan(x)) return false;
  return std::isnan(y) || x < y;
}

Accumulator::Accumulator(ReduceKind kind, DType dtype) : kind_(kind), dtype_(dtype) {
  switch (kind) {
    case ReduceKind::prod: real_ = 1, int_ = 1; break;
    case ReduceKind::max: real_ = -kInf, int_ = smallest_int(dtype); break;
    case ReduceKind::min: real_ = kInf, int_ = largest_int(dtype); break;
    case ReduceKind::all: int_ = 1; break;
    case ReduceKind::logsumexp: real_ = -kInf; break;
    default: break;
  }
}

void Accumulator::add(const Tensor& t, int64_t i) {
  is_float(dtype_) ? add_real(get_real(t, i)) : add_int(get_int(t, i));
}

void Accumulator::add_real(double v) {
  switch (kind_) {
    case ReduceKind::sum: real_ += v; break;
    case ReduceKind::prod: real_ *= v; break;
    case ReduceKind::max: real_ = std::isnan(real_) || real_ > v ? real_ : v; break;
    case ReduceKind::min: real_ = std::isnan(real_) || real_ < v ? real_ : v; break;
    case ReduceKind::logsumexp: {
      if (std::isnan(v) || std::isnan(real_)) {
        real_ = std::numeric_limits<double>::quiet_NaN();
      } else if (v > real_) {
        // At first real_ is -inf and the sum 0.
        scaled_ = (v == kInf ? 0 : scaled_ * std::exp(real_ - v)) + 1;
        real_ = v;
      } else if (v > -kInf) {
        scaled_ += v == real_ ? 1 : std::exp(v - real_);
      }
      break;
    }
    default: break;
  }
}

void Accumulator::add_int(int64_t v) {
  switch (kind_) {
    case ReduceKind::sum:
      int_ = static_cast<int64_t>(static_cast<uint64_t>(int_) + static_cast<uint64_t>(v));
      break;
    case ReduceKind::prod:
      int_ = static_cast<int64_t>(static_cast<uint64_t>(int_) * static_cast<uint64_t>(v));
      break;
    case ReduceKind::max: int_ = int_ > v ? int_ : v; break;
    case ReduceKind::min: int_ = int_ < v ? int_ : v; break;
    case ReduceKind::any: int_ |= v; break;
    case ReduceKind::all: int_ &= v; break;
    default: break;
  }
}

void Accumulator::store(Tensor& t, int64_t i) const {
  if (!is_float(dtype_)) return set_int(t, i, int_);
  set_real(t, i, kind_ == ReduceKind::logsumexp && scaled_ > 0 ? real_ + std::log(scaled_) : real_);
}

namespace {

void eval_axes(const Call& c) {
  const ReduceAttrs& a = c.attrs<ReduceAttrs>();
  const Tensor& x = *c.in[0];
  Tensor& out = *c.out[0];
  std::vector<Accumulator> sums(static_cast<size_t>(shape_of(out).numel()),
                                Accumulator(a.kind, x.type.dtype));
  int64_t i = 0;
  for_each_index(shape_of(x), [&](const Shape& index) {
    Shape kept = index;
    for (int k = a.axes.rank() - 1; k >= 0; k--) kept.erase(static_cast<int>(a.axes[k]));
    sums[static_cast<size_t>(offset_of(kept, shape_of(out)))].add(x, i++);
  });
  for (size_t k = 0; k < sums.size(); k++) sums[k].store(out, static_cast<int64_t>(k));
}

// Whether element `candidate` replaces `best`: NaN wins, ties keep the first one or take the last.
bool replaces(ReduceKind kind, const Tensor& x, int64_t candidate, int64_t best, bool on_tie) {
  if (is_nan(x, best)) return on_tie && is_nan(x, candidate);
  if (is_nan(x, candidate)) return true;
  if (kind == ReduceKind::max ? is_less(x, best, candidate) : is_less(x, candidate, best))
    return true;
  return on_tie && !is_less(x, best, candidate) && !is_less(x, candidate, best);
}

void eval_arg_reduce(const Call& c) {
  const ScanAttrs& a = c.attrs<ScanAttrs>();
  const Tensor& x = *c.in[0];
  AxisView v(shape_of(x), a.axis);
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t n = 0; n < v.inner; n++) {
      int64_t best = 0;
      for (int64_t i = 1; i < v.size; i++)
        if (replaces(a.kind, x, v.at(o, i, n), v.at(o, best, n), false)) best = i;
      set_int(*c.out[0], o * v.inner + n, best);
    }
}

void eval_scan(const Call& c) {
  const ScanAttrs& a = c.attrs<ScanAttrs>();
  const Tensor& x = *c.in[0];
  AxisView v(shape_of(x), a.axis);
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t n = 0; n < v.inner; n++) {
      Accumulator sum(a.kind, x.type.dtype);
      int64_t best = 0;
      for (int64_t i = 0; i < v.size; i++) {
        int64_t at = v.at(o, i, n);
        if (c.node.op == Prim::scan) {
          sum.add(x, at);
          sum.store(*c.out[0], at);
          continue;
        }
        // Of equal elements the last one counts, as in PyTorch's cummax.
        if (replaces(a.kind, x, at, v.at(o, best, n), true)) best = i;
        copy_element(*c.out[0], at, x, v.at(o, best, n));
        set_int(*c.out[1], at, best);
      }
    }
}

// Window elements inside the operand, in order: f(element number, number within the spatial plane).
template <class F>
void for_each_in_window(const WindowAttrs& a, const Shape& size, const Shape& index, F&& f) {
  int n = a.window.rank(), first = size.rank() - n;
  for_each_index(a.window, [&](const Shape& q) {
    Shape at = index;
    int64_t plane = 0;
    for (int d = 0; d < n; d++) {
      int64_t i = index[first + d] * a.stride[d] + q[d] * a.dilation[d] - a.pad_lo[d];
      if (i < 0 || i >= size[first + d]) return;
      at[first + d] = i;
      plane = plane * size[first + d] + i;
    }
    f(offset_of(at, size), plane);
  });
}

void eval_window(const Call& c) {
  const WindowAttrs& a = c.attrs<WindowAttrs>();
  const Tensor& x = *c.in[0];
  int64_t i = 0;
  for_each_index(shape_of(*c.out[0]), [&](const Shape& index) {
    Accumulator sum(a.kind, x.type.dtype);
    int64_t best = -1, best_plane = 0;
    for_each_in_window(a, shape_of(x), index, [&](int64_t at, int64_t plane) {
      sum.add(x, at);
      if (best < 0 || replaces(ReduceKind::max, x, at, best, false)) best = at, best_plane = plane;
    });
    sum.store(*c.out[0], i);
    if (c.node.op == Prim::max_pool_idx) set_int(*c.out[1], i, best_plane);
    i++;
  });
}

}  // namespace

Status eval_reduce(const Call& c) {
  switch (c.node.op) {
    case Prim::reduce: eval_axes(c); break;
    case Prim::arg_reduce: eval_arg_reduce(c); break;
    case Prim::scan:
    case Prim::scan_arg: eval_scan(c); break;
    default: eval_window(c);
  }
  return ok_status();
}

}  // namespace moai::ir
