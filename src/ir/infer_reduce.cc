// Shape rules of reductions, windows and scans.
#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

// Whether a reduction of this kind takes the dtype.
Status check_kind(const Rule& r, ReduceKind kind, uint32_t allowed) {
  DType t = r.in[0].dtype;
  if (!(allowed >> static_cast<unsigned>(kind) & 1)) return r.fail("does not know this kind");
  bool ok = false;
  switch (kind) {
    case ReduceKind::sum:
    case ReduceKind::prod: ok = is_float(t) || is_integer(t); break;
    case ReduceKind::max:
    case ReduceKind::min: ok = !is_complex(t); break;
    case ReduceKind::any:
    case ReduceKind::all: ok = t == DType::boolean; break;
    case ReduceKind::logsumexp: ok = is_float(t); break;
  }
  return ok ? ok_status() : r.fail(std::string("this kind has no meaning for ") + name_of(t));
}

constexpr uint32_t bit(ReduceKind k) { return 1u << static_cast<unsigned>(k); }
constexpr uint32_t kOrder = bit(ReduceKind::max) | bit(ReduceKind::min);
constexpr uint32_t kWindow = kOrder | bit(ReduceKind::sum) | bit(ReduceKind::prod);
constexpr uint32_t kScan = kWindow | bit(ReduceKind::logsumexp);
constexpr uint32_t kEvery = kScan | bit(ReduceKind::any) | bit(ReduceKind::all);

Types infer_axes(const Rule& r) {
  const ReduceAttrs& a = *r.get<ReduceAttrs>();
  MOAI_RETURN_IF_ERROR(check_kind(r, a.kind, kEvery));
  MOAI_RETURN_IF_ERROR(r.check_axes(a.axes, r.in[0].shape.rank()));
  Type result = r.in[0];
  for (int i = a.axes.rank() - 1; i >= 0; i--) {
    if (i > 0 && a.axes[i - 1] > a.axes[i]) return r.fail("axes must ascend");
    result.shape.erase(static_cast<int>(a.axes[i]));
  }
  return std::vector<Type>{result};
}

Types infer_window(const Rule& r) {
  const WindowAttrs& a = *r.get<WindowAttrs>();
  bool with_index = r.op == Prim::max_pool_idx;
  MOAI_RETURN_IF_ERROR(check_kind(r, a.kind, with_index ? bit(ReduceKind::max) : kWindow));
  Type result = r.in[0];
  int n = a.window.rank(), first = result.shape.rank() - n;
  if (n == 0 || first < 0) return r.fail("the window must cover 1 to all of the axes");
  if (a.stride.rank() != n || a.dilation.rank() != n || a.pad_lo.rank() != n ||
      a.pad_hi.rank() != n)
    return r.fail("window, stride, dilation and padding need equally many entries");
  for (int i = 0; i < n; i++) {
    if (a.window[i] < 1 || a.stride[i] < 1 || a.dilation[i] < 1 || a.pad_lo[i] < 0 ||
        a.pad_hi[i] < 0)
      return r.fail("window, stride and dilation must be >= 1, padding >= 0");
    Checked count = window_count(result.shape[first + i], a.window[i], a.stride[i], a.dilation[i],
                                 a.pad_lo[i], a.pad_hi[i]);
    if (!count.ok()) return r.fail("sizes overflow");
    result.shape[first + i] = count.value();
  }
  if (!with_index) return std::vector<Type>{result};
  return std::vector<Type>{result, {DType::i64, result.shape}};
}

Types infer_scan(const Rule& r) {
  const ScanAttrs& a = *r.get<ScanAttrs>();
  MOAI_RETURN_IF_ERROR(check_kind(r, a.kind, r.op == Prim::scan ? kScan : kOrder));
  MOAI_RETURN_IF_ERROR(r.check_axis(a.axis, r.in[0].shape.rank()));
  Type index{DType::i64, r.in[0].shape};
  if (r.op == Prim::scan) return std::vector<Type>{r.in[0]};
  if (r.op == Prim::scan_arg) return std::vector<Type>{r.in[0], index};
  int axis = static_cast<int>(a.axis);
  if (index.shape[axis] == 0) return r.fail("an empty axis has no largest or smallest element");
  index.shape.erase(axis);
  return std::vector<Type>{index};
}

}  // namespace

Checked window_count(int64_t size, int64_t window, int64_t stride, int64_t dilation, int64_t lo,
                     int64_t hi) {
  Checked room = Checked(size) + lo + hi - Checked(window - 1) * dilation - 1;
  if (!room.ok()) return room;
  return room.value() < 0 ? Checked(0) : Checked(room.value() / stride + 1);
}

Types infer_reduce(const Rule& r) {
  switch (r.op) {
    case Prim::reduce: return infer_axes(r);
    case Prim::reduce_window:
    case Prim::max_pool_idx: return infer_window(r);
    default: return infer_scan(r);
  }
}

}  // namespace moai::ir
