#include "src/ir/infer.h"

#include "src/ir/infer_rules.h"

namespace moai::ir {

std::string to_text(const Shape& s) {
  std::string out = "[";
  for (int i = 0; i < s.rank(); i++) out += (i ? "," : "") + std::to_string(s[i]);
  return out + "]";
}
std::string to_text(const Type& t) { return name_of(t.dtype) + to_text(t.shape); }

bool is_sound(const Type& t) {
  Checked bytes = static_cast<int64_t>(size_of(t.dtype));
  for (int64_t d : t.shape) {
    if (d < 0) return false;
    bytes = bytes * Checked(d > 1 ? d : 1);
  }
  return bytes.ok() && static_cast<uint64_t>(bytes.value()) <= kStorageBytesMax;
}

Status Rule::check_axis(int64_t axis, int rank) const {
  if (axis >= 0 && axis < rank) return ok_status();
  return fail("axis " + std::to_string(axis) + " is outside rank " + std::to_string(rank));
}

Status Rule::check_axes(const Shape& axes, int rank) const {
  uint32_t seen = 0;
  for (int64_t a : axes) {
    MOAI_RETURN_IF_ERROR(check_axis(a, rank));
    if (seen >> a & 1) return fail("axis " + std::to_string(a) + " is named twice");
    seen |= 1u << a;
  }
  return ok_status();
}

Status Rule::check_same_dtype(size_t i, size_t j) const {
  if (in[i].dtype == in[j].dtype) return ok_status();
  return fail("dtypes of operands " + std::to_string(i) + " and " + std::to_string(j) +
              " differ: " + name_of(in[i].dtype) + " and " + name_of(in[j].dtype));
}

Status Rule::check_same_type(size_t i, size_t j) const {
  if (in[i] == in[j]) return ok_status();
  return fail("operands " + std::to_string(i) + " and " + std::to_string(j) +
              " differ: " + to_text(in[i]) + " and " + to_text(in[j]));
}

Status Rule::check_scalar(size_t i, DType dtype) const {
  if (in[i].shape.empty() && in[i].dtype == dtype) return ok_status();
  return fail("operand " + std::to_string(i) + " must be " + name_of(dtype) + "[], is " +
              to_text(in[i]));
}

Attrs default_attrs(Prim op) {
  switch (op) {
    case Prim::constant: return ConstantAttrs{};
    case Prim::iota:
    case Prim::concat: return AxisAttrs{};
    case Prim::broadcast_in_dim:
    case Prim::transpose:
    case Prim::reverse: return DimsAttrs{};
    case Prim::slice:
    case Prim::update_slice: return SliceAttrs{};
    case Prim::pad: return PadAttrs{};
    case Prim::reduce: return ReduceAttrs{};
    case Prim::arg_reduce:
    case Prim::scan:
    case Prim::scan_arg: return ScanAttrs{};
    case Prim::reduce_window:
    case Prim::max_pool_idx: return WindowAttrs{};
    case Prim::dot_general: return DotAttrs{};
    case Prim::conv:
    case Prim::conv_wgrad: return ConvAttrs{};
    case Prim::gather:
    case Prim::scatter:
    case Prim::take_along:
    case Prim::scatter_along: return IndexAttrs{};
    case Prim::sort:
    case Prim::topk: return SortAttrs{};
    case Prim::sdpa:
    case Prim::sdpa_bwd: return SdpaAttrs{};
    default: return NoAttrs{};
  }
}

namespace {

Types apply(const Rule& rule) {
  if (is_pointwise(rule.op)) return infer_pointwise(rule);
  switch (rule.op) {
    case Prim::reduce:
    case Prim::arg_reduce:
    case Prim::reduce_window:
    case Prim::max_pool_idx:
    case Prim::scan:
    case Prim::scan_arg: return infer_reduce(rule);
    case Prim::dot_general:
    case Prim::conv:
    case Prim::conv_wgrad: return infer_contract(rule);
    case Prim::gather:
    case Prim::scatter:
    case Prim::take_along:
    case Prim::scatter_along:
    case Prim::sort:
    case Prim::topk:
    case Prim::nonzero: return infer_index(rule);
    case Prim::rng_uniform:
    case Prim::rng_bits: return infer_random(rule);
    case Prim::sdpa:
    case Prim::sdpa_bwd: return infer_attention(rule);
    default: return infer_data(rule);
  }
}

}  // namespace

StatusOr<std::vector<Type>> infer(Prim op, const Attrs& attrs, std::span<const Type> operands,
                                  const Type& hint) {
  Rule rule{op, attrs, operands, hint};
  const OpInfo& row = info(op);
  if (attrs.index() != default_attrs(op).index())
    return rule.fail("attributes are of another primitive");
  if (row.operands >= 0 && operands.size() != static_cast<size_t>(row.operands))
    return rule.fail("takes " + std::to_string(row.operands) + " operands, got " +
                     std::to_string(operands.size()));
  for (const Type& t : operands)
    if (!is_sound(t)) return rule.fail("operand of unsound type " + to_text(t));
  Types results = apply(rule);
  if (!results.ok()) return results;
  for (const Type& t : *results)
    if (!is_sound(t)) return rule.fail("result " + to_text(t) + " is negative or too large");
  return results;
}

}  // namespace moai::ir
