// A view is read as reshape and slice of the flat contents where its strides nest, else by gather
// over its element numbers; a write is the mirror image.
#include "src/lower/views.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

namespace moai::lower {
namespace {

using ir::Builder;
using ir::ValueId;

constexpr int64_t kEnumerateMax = 1
                                  << 22;  // elements looked at one by one to prove a write disjoint

// The axes that move through memory (size over 1, stride not 0), biggest stride first.
struct Core {
  Shape sizes, strides;
  Shape axes;                // axis of the view
  bool has_repeats = false;  // a zero stride was left out
};

Core core_of(const Shape& sizes, const Shape& strides) {
  std::vector<int> order;
  Core core;
  for (int i = 0; i < sizes.rank(); i++) {
    if (sizes[i] == 1) continue;
    if (strides[i] == 0)
      core.has_repeats = true;
    else
      order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int x, int y) { return strides[x] > strides[y]; });
  for (int i : order) {
    core.sizes.push_back(sizes[i]);
    core.strides.push_back(strides[i]);
    core.axes.push_back(i);
  }
  return core;
}

bool is_dense(const Core& core) {
  int64_t step = 1;
  for (int i = core.sizes.rank() - 1; i >= 0; i--) {
    if (core.strides[i] != step) return false;
    step *= core.sizes[i];
  }
  return true;
}

bool is_whole(const Core& core, int64_t offset, int64_t count) {
  return offset == 0 && core.sizes.numel() == count && is_dense(core);
}

bool same_layout(const Contents& contents, const wire::View& view) {
  if (view.offset != 0 || !(contents.sizes == view.sizes)) return false;
  for (int i = 0; i < view.sizes.rank(); i++)
    if (view.sizes[i] != 1 && view.strides[i] != contents.strides[i]) return false;
  return true;
}

// flat[lo, lo + length) seen as `base`, row-major; the view is the slice (start, step) of it.
struct Window {
  int64_t lo = 0, length = 0;
  Shape base, start, step;
};

// nullopt: the strides do not nest around `lo`. Requires: core.sizes.rank() > 0.
std::optional<Window> window_at(const Core& core, int64_t offset, int64_t count, int64_t lo) {
  const int rank = core.sizes.rank();
  Window w;
  w.lo = lo;
  Shape unit;  // elements that one step of a base axis spans
  for (int i = 0; i < rank; i++) {
    int64_t u = core.strides[i];
    if (i == rank - 1)
      u = 1;
    else if (i > 0)
      u = std::gcd(u, unit[i - 1]);
    unit.push_back(u);
  }
  int64_t rest = offset - lo;
  for (int i = 0; i < rank; i++) {
    w.start.push_back(rest / unit[i]);
    rest %= unit[i];
    w.step.push_back(core.strides[i] / unit[i]);
    const int64_t extent = w.start[i] + (core.sizes[i] - 1) * w.step[i] + 1;
    if (i > 0) {
      w.base.push_back(unit[i - 1] / unit[i]);
      if (extent > w.base[i]) return std::nullopt;
      continue;
    }
    const int64_t rows = (count - lo) / unit[0];
    w.base.push_back(lo > 0 ? extent : std::max(rows, extent));
  }
  w.length = w.base[0] * unit[0];
  return w;
}

std::optional<Window> window_of(const Core& core, int64_t offset, int64_t count) {
  if (auto w = window_at(core, offset, count, 0)) return w;
  return offset > 0 ? window_at(core, offset, count, offset) : std::nullopt;
}

// flat[lo, lo + length); zeros behind the end.
ValueId cut(Builder& b, ValueId flat, int64_t count, int64_t lo, int64_t length) {
  if (lo + length <= count) return b.slice(flat, {lo}, {1}, {length});
  return b.pad(flat, b.constant(0, b.dtype(flat)), {-lo}, {lo + length - count}, {0});
}

// i64 [numel]: the number of each element of the core in the flat contents.
ValueId element_numbers(Builder& b, const Core& core, int64_t offset) {
  ValueId sum = b.constant_int(offset, DType::i64, core.sizes);
  for (int i = 0; i < core.sizes.rank(); i++) {
    ValueId step = b.constant_int(core.strides[i], DType::i64, core.sizes);
    sum = b.binary(Prim::add, sum, b.binary(Prim::mul, b.iota(i, DType::i64, core.sizes), step));
  }
  return b.reshape(sum, {core.sizes.numel()});
}

// order: axis of each core axis; result: the axes ascending.
Shape ranks_of(const Shape& axes) {
  std::vector<int> order(static_cast<size_t>(axes.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int x, int y) { return axes[x] < axes[y]; });
  Shape perm;
  for (int i : order) perm.push_back(i);
  return perm;
}

Shape inverse(const Shape& perm) {
  Shape inv = Shape::filled(perm.rank(), 0);
  for (int i = 0; i < perm.rank(); i++) inv[static_cast<int>(perm[i])] = i;
  return inv;
}

// From the core's memory order to the view's own axes.
ValueId spread(Builder& b, ValueId v, const Core& core, const wire::View& view) {
  v = b.transpose(v, ranks_of(core.axes));
  if (!core.has_repeats) return b.reshape(v, view.sizes);
  Shape dims = core.axes;
  std::sort(dims.begin(), dims.end());
  return b.broadcast_in_dim(v, view.sizes, dims);
}

// A core without axes is one element: give it one axis, so that there is one case less.
void ensure_axis(Core& core) {
  if (core.sizes.rank() > 0) return;
  core.sizes.push_back(1);
  core.strides.push_back(1);
}

Contents rows_of(ValueId value, DType dtype, const Shape& shape) {
  return {value, dtype, shape, contiguous_strides(shape)};
}

}  // namespace

bool covers(const wire::View& view, int64_t count) {
  if (view.sizes.numel() != count) return false;
  if (count == 0) return true;
  Core core = core_of(view.sizes, view.strides);
  return !core.has_repeats && is_whole(core, view.offset, count);
}

bool overlaps(const wire::View& view) {
  const int64_t count = view.sizes.numel();
  if (count == 0) return false;
  Core core = core_of(view.sizes, view.strides);
  if (core.has_repeats) return true;
  int64_t below = 0;  // largest distance within the inner axes
  bool nests = true;
  for (int i = core.sizes.rank() - 1; i >= 0; i--) {
    nests = nests && core.strides[i] > below;
    below += (core.sizes[i] - 1) * core.strides[i];
  }
  if (nests) return false;
  if (below + 1 < count || below >= kEnumerateMax) return true;
  std::vector<bool> seen(static_cast<size_t>(below) + 1);
  for (int64_t e = 0; e < count; e++) {
    int64_t rest = e, at = 0;
    for (int i = core.sizes.rank() - 1; i >= 0; i--) {
      at += rest % core.sizes[i] * core.strides[i];
      rest /= core.sizes[i];
    }
    if (seen[static_cast<size_t>(at)]) return true;
    seen[static_cast<size_t>(at)] = true;
  }
  return false;
}

ValueId memory_order(Builder& b, const Contents& contents) {
  if (contents.strides == contiguous_strides(contents.sizes)) return contents.value;
  Core core = core_of(contents.sizes, contents.strides);
  Shape squeezed;
  for (int64_t d : contents.sizes)
    if (d != 1) squeezed.push_back(d);
  return b.transpose(b.reshape(contents.value, squeezed), inverse(ranks_of(core.axes)));
}

ValueId read_view(Builder& b, Contents& contents, const wire::View& view) {
  if (view.sizes.numel() == 0) return b.constant(0, view.dtype, view.sizes);
  if (same_layout(contents, view)) return contents.value;
  const int64_t count = contents.sizes.numel();
  Core core = core_of(view.sizes, view.strides);
  if (is_whole(core, view.offset, count)) {
    ValueId v = b.reshape(memory_order(b, contents), core.sizes);
    // Keep the shape that the program gives a flat storage: later views start from it.
    if (contents.sizes.rank() == 1) contents = rows_of(v, contents.dtype, core.sizes);
    return spread(b, v, core, view);
  }
  ValueId rows = memory_order(b, contents);
  Core moving = core;
  ensure_axis(moving);
  ValueId v;
  if (auto w = window_of(moving, view.offset, count)) {
    if (w->lo != 0 || w->length != count)
      rows = cut(b, b.reshape(rows, {count}), count, w->lo, w->length);
    v = b.slice(b.reshape(rows, w->base), w->start, w->step, moving.sizes);
  } else {
    ValueId index = element_numbers(b, moving, view.offset);
    v = b.gather(b.reshape(rows, {count}), index, 0);
  }
  return spread(b, b.reshape(v, core.sizes), core, view);
}

Contents write_view(Builder& b, const Contents& contents, const wire::View& view, ValueId value) {
  const int64_t count = contents.sizes.numel();
  if (view.sizes.numel() == 0) return contents;
  if (covers(view, count)) return {value, view.dtype, view.sizes, view.strides};
  Core core = core_of(view.sizes, view.strides);
  Shape squeezed;
  for (int64_t d : view.sizes)
    if (d != 1) squeezed.push_back(d);
  value = b.transpose(b.reshape(value, squeezed), inverse(ranks_of(core.axes)));
  ensure_axis(core);
  value = b.reshape(value, core.sizes);
  ValueId rows = memory_order(b, contents);
  auto w = window_of(core, view.offset, count);
  if (!w) {
    ValueId index = element_numbers(b, core, view.offset);
    ValueId update = b.reshape(value, {core.sizes.numel()});
    ValueId flat = b.reshape(rows, {count});
    return rows_of(b.scatter(ScatterKind::set, flat, index, update, 0), view.dtype, {count});
  }
  if (w->lo == 0 && w->length == count) {
    ValueId base = b.reshape(rows, w->base);
    return rows_of(b.update_slice(base, value, w->start, w->step), view.dtype, w->base);
  }
  ValueId flat = b.reshape(rows, {count});
  ValueId base = b.reshape(cut(b, flat, count, w->lo, w->length), w->base);
  ValueId changed = b.reshape(b.update_slice(base, value, w->start, w->step), {w->length});
  const int64_t kept = std::min(w->length, count - w->lo);
  changed = b.slice(changed, {0}, {1}, {kept});
  return rows_of(b.update_slice(flat, changed, {w->lo}, {1}), view.dtype, {count});
}

}  // namespace moai::lower
