#include "codegen/library.h"

#include <cmath>
#include <string>

namespace moai::codegen {
namespace {

void add_operand(Kernel& k, ir::ValueId v, Operand operand) {
  k.buffers.push_back(v);
  k.writes.push_back(operand.is_output);
  std::get<LibraryKernel>(k.source).operands.push_back(std::move(operand));
}

void add_results(Kernel& k, const ir::Graph& g, const ir::Node& n) {
  for (ir::ValueId v : n.results) {
    const ir::Type& t = g.type(v);
    add_operand(k, v, {t.dtype, t.shape, contiguous_strides(t.shape), 0, true});
  }
}

// One side of a contraction: its dimensions of the common space in order, and what each is.
StatusOr<Kernel> dot_kernel(const ir::Graph& g, const Flags& is_copied, const ir::Node& n) {
  DotAccess access = dot_access(g, is_copied, n);
  using Role = DotAccess::Role;
  DotAttrs attrs;
  Operand sides[2], out;
  std::vector<int64_t> kept;
  auto fits = [](const Shape& s) { return s.rank() < kRankMax; };
  for (size_t d = 0; d < access.sizes.size(); d++) {
    Role role = access.roles[d];
    int at[2] = {-1, -1};
    for (int side = 0; side < 2; side++) {
      if (role == (side == 0 ? Role::free_b : Role::free_a)) continue;
      if (!fits(sides[side].sizes)) return internal_error("[dot_general] has too many axes");
      at[side] = sides[side].sizes.rank();
      sides[side].sizes.push_back(access.sizes[d]);
      sides[side].strides.push_back(access.strides[side][d]);
    }
    if (role == Role::batch) attrs.batch_a.push_back(at[0]), attrs.batch_b.push_back(at[1]);
    if (role == Role::contract)
      attrs.contract_a.push_back(at[0]), attrs.contract_b.push_back(at[1]);
    if (role == Role::contract) continue;
    if (!fits(out.sizes)) return internal_error("[dot_general] has too many axes");
    out.sizes.push_back(access.sizes[d]);
  }
  out.dtype = g.type(n.results[0]).dtype;
  out.strides = contiguous_strides(out.sizes);
  out.is_output = true;
  Kernel k;
  k.source = LibraryKernel{n.op, attrs, {}};
  for (int side = 0; side < 2; side++) {
    sides[side].dtype = g.type(n.operands[static_cast<size_t>(side)]).dtype;
    sides[side].offset = access.offset[side];
    add_operand(k, access.base[side], sides[side]);
  }
  add_operand(k, n.results[0], out);
  return k;
}

}  // namespace

bool has_zero_base(const ir::Graph& g, const ir::Node& n) {
  if (n.op != Prim::scatter && n.op != Prim::scatter_along) return false;
  const ir::Node* base = g.def(n.operands[0]);
  if (!base || base->op != Prim::constant) return false;
  const auto& c = std::get<ConstantAttrs>(base->attrs);
  return c.i == 0 && c.f == 0 && !std::signbit(c.f);
}

StatusOr<Kernel> library_kernel(const ir::Graph& g, const Flags& is_copied, const ir::Node& n) {
  if (n.op == Prim::dot_general) return dot_kernel(g, is_copied, n);
  Kernel k;
  k.source = LibraryKernel{n.op, n.attrs, {}};
  bool is_update = n.op == Prim::scatter || n.op == Prim::scatter_along;
  bool is_strided = operand_layout(n.op) == Layout::strided;
  for (size_t i = is_update ? 1 : 0; i < n.operands.size(); i++) {
    const ir::Type& t = g.type(n.operands[i]);
    if (is_strided) {
      StridedBase base = strided_base(g, is_copied, n.operands[i]);
      add_operand(k, base.value, {t.dtype, t.shape, base.map.strides, base.map.offset, false});
    } else {
      ir::ValueId base = contiguous_base(g, is_copied, n.operands[i], true).value;
      add_operand(k, base, {t.dtype, t.shape, contiguous_strides(t.shape), 0, false});
    }
  }
  uint32_t output = static_cast<uint32_t>(k.buffers.size());
  add_results(k, g, n);
  if (has_zero_base(g, n)) {
    std::get<LibraryKernel>(k.source).base_is_zero = true;
  } else if (is_update) {
    k.aliases.push_back({output, static_cast<uint32_t>(k.buffers.size()), true});
    k.buffers.push_back(contiguous_base(g, is_copied, n.operands[0], true).value);
    k.writes.push_back(false);
  }
  return k;
}

}  // namespace moai::codegen
