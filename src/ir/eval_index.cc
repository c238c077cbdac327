// Indexing, sorting and nonzero.
#include <algorithm>
#include <numeric>

#include "src/ir/eval_call.h"

namespace moai::ir {
namespace {

// Element k of the index operand as a position within size; false when it is out of range.
bool position(const Call& c, int64_t k, int64_t size, int64_t* at) {
  *at = get_int(*c.in[1], k);
  if (c.attrs<IndexAttrs>().bounds == Bounds::clip && size > 0)
    *at = std::clamp<int64_t>(*at, 0, size - 1);
  return *at >= 0 && *at < size;
}

double combine_real(ScatterKind kind, double a, double b) {
  bool a_wins = a != a, b_wins = b != b;  // NaN
  switch (kind) {
    case ScatterKind::add: return a + b;
    case ScatterKind::mul: return a * b;
    case ScatterKind::max: return a_wins || (!b_wins && a > b) ? a : b;
    case ScatterKind::min: return a_wins || (!b_wins && a < b) ? a : b;
    default: return b;
  }
}

int64_t combine_int(ScatterKind kind, int64_t a, int64_t b) {
  uint64_t x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  switch (kind) {
    case ScatterKind::add: return static_cast<int64_t>(x + y);
    case ScatterKind::mul: return static_cast<int64_t>(x * y);
    case ScatterKind::max: return std::max(a, b);
    case ScatterKind::min: return std::min(a, b);
    default: return b;
  }
}

// Scatters combine in f64 and i64 and round once, at the end.
class ScatterTarget {
 public:
  ScatterTarget(const Call& c)
      : kind_(c.attrs<IndexAttrs>().kind), update_(*c.in[2]), out_(*c.out[0]) {
    out_.data = c.in[0]->data;
    if (kind_ == ScatterKind::set) return;
    size_t n = static_cast<size_t>(shape_of(out_).numel());
    touched_.resize(n), real_.resize(n), int_.resize(n);
  }
  void add(int64_t i, int64_t k) {
    if (kind_ == ScatterKind::set) return copy_element(out_, i, update_, k);
    size_t at = static_cast<size_t>(i);
    if (!touched_[at])
      touched_[at] = true, real_[at] = get_real(out_, i), int_[at] = get_int(out_, i);
    real_[at] = combine_real(kind_, real_[at], get_real(update_, k));
    int_[at] = combine_int(kind_, int_[at], get_int(update_, k));
  }
  void finish() {
    for (size_t i = 0; i < touched_.size(); i++) {
      if (!touched_[i]) continue;
      int64_t at = static_cast<int64_t>(i);
      is_float(out_.type.dtype) ? set_real(out_, at, real_[i]) : set_int(out_, at, int_[i]);
    }
  }

 private:
  ScatterKind kind_;
  const Tensor& update_;
  Tensor& out_;
  std::vector<bool> touched_;
  std::vector<double> real_;
  std::vector<int64_t> int_;
};

// gather and scatter: f(element of x or base, element of the result or update), in order of the
// update.
template <class F>
Status for_each_taken(const Call& c, F&& f) {
  AxisView v(shape_of(*c.in[0]), c.attrs<IndexAttrs>().axis);
  int64_t count = shape_of(*c.in[1]).numel();
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t k = 0; k < count; k++) {
      int64_t at;
      if (!position(c, k, v.size, &at)) return c.out_of_range(at, v.size);
      for (int64_t n = 0; n < v.inner; n++) f(v.at(o, at, n), (o * count + k) * v.inner + n);
    }
  return ok_status();
}

// take_along and scatter_along, likewise.
template <class F>
Status for_each_along(const Call& c, F&& f) {
  int64_t axis = c.attrs<IndexAttrs>().axis;
  AxisView v(shape_of(*c.in[0]), axis), w(shape_of(*c.in[1]), axis);
  for (int64_t o = 0; o < w.outer; o++)
    for (int64_t i = 0; i < w.size; i++)
      for (int64_t n = 0; n < w.inner; n++) {
        int64_t k = w.at(o, i, n), at;
        if (!position(c, k, v.size, &at)) return c.out_of_range(at, v.size);
        f(v.at(o, at, n), k);
      }
  return ok_status();
}

Status eval_gather(const Call& c) {
  auto copy = [&](int64_t from, int64_t to) { copy_element(*c.out[0], to, *c.in[0], from); };
  return c.node.op == Prim::gather ? for_each_taken(c, copy) : for_each_along(c, copy);
}

Status eval_scatter(const Call& c) {
  ScatterTarget target(c);
  auto add = [&](int64_t to, int64_t from) { target.add(to, from); };
  MOAI_RETURN_IF_ERROR(c.node.op == Prim::scatter ? for_each_taken(c, add)
                                                  : for_each_along(c, add));
  target.finish();
  return ok_status();
}

void eval_sort(const Call& c) {
  const SortAttrs& a = c.attrs<SortAttrs>();
  const Tensor& x = *c.in[0];
  AxisView v(shape_of(x), a.axis), w(shape_of(*c.out[0]), a.axis);
  std::vector<int64_t> order(static_cast<size_t>(v.size));
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t n = 0; n < v.inner; n++) {
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
        int64_t p = v.at(o, i, n), q = v.at(o, j, n);
        return a.descending ? is_less(x, q, p) : is_less(x, p, q);
      });
      for (int64_t i = 0; i < w.size; i++) {
        int64_t from = order[static_cast<size_t>(i)];
        copy_element(*c.out[0], w.at(o, i, n), x, v.at(o, from, n));
        set_int(*c.out[1], w.at(o, i, n), from);
      }
    }
}

void eval_nonzero(const Call& c) {
  const Tensor& x = *c.in[0];
  int64_t row = 0, i = 0, rows = shape_of(*c.out[0])[0];
  for_each_index(shape_of(x), [&](const Shape& index) {
    if (get_real(x, i++) == 0 || row >= rows) return;
    for (int d = 0; d < index.rank(); d++) set_int(*c.out[0], row * index.rank() + d, index[d]);
    row++;
  });
}

}  // namespace

Status eval_index(const Call& c) {
  switch (c.node.op) {
    case Prim::gather:
    case Prim::take_along: return eval_gather(c);
    case Prim::scatter:
    case Prim::scatter_along: return eval_scatter(c);
    case Prim::sort:
    case Prim::topk: eval_sort(c); return ok_status();
    default: eval_nonzero(c); return ok_status();
  }
}

}  // namespace moai::ir
