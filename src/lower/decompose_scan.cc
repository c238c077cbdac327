// Scans along a dimension.
#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

template <ReduceKind kind>
void lower_scan(OpContext& c) {  // self, dim [, dtype]
  ValueId x = cast(c.b, c.read_next(), compute_type(c.output_dtype()));
  const int rank = c.b.shape(x).rank();
  const int axis = axis_of(c, c.args.integer_or(0), rank);
  c.finish(rank == 0 ? x : c.b.scan(kind, x, axis));
}

template <ReduceKind kind>
void lower_scan_arg(OpContext& c) {  // self, dim
  ValueId x = c.read_next();
  const int rank = c.b.shape(x).rank();
  const int axis = axis_of(c, c.args.integer_or(0), rank);
  if (rank == 0) {
    const ValueId scalar[] = {x, c.b.constant_int(0, DType::i64)};
    return c.finish(scalar);
  }
  auto [values, indices] = c.b.scan_arg(kind, x, axis);
  const ValueId results[] = {values, indices};
  c.finish(results);
}

constexpr OpRow kRows[] = {
    {"cumsum", kAll, lower_scan<ReduceKind::sum>},
    {"cumprod", kAll, lower_scan<ReduceKind::prod>},
    {"logcumsumexp", kFloats, lower_scan<ReduceKind::logsumexp>},
    {"_logcumsumexp", kFloats, lower_scan<ReduceKind::logsumexp>},
    {"cummax", kAll, lower_scan_arg<ReduceKind::max>},
    {"cummin", kAll, lower_scan_arg<ReduceKind::min>},
};

}  // namespace

std::span<const OpRow> scan_ops() { return kRows; }

}  // namespace moai::lower
