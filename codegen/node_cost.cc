#include "codegen/node_cost.h"

#include <algorithm>

#include "codegen/node_info.h"

namespace moai::codegen {
namespace {

bool is_transcendental(Prim op) {
  switch (op) {
    case Prim::exp:
    case Prim::expm1:
    case Prim::log:
    case Prim::log1p:
    case Prim::sin:
    case Prim::cos:
    case Prim::tan:
    case Prim::asin:
    case Prim::acos:
    case Prim::atan:
    case Prim::sinh:
    case Prim::cosh:
    case Prim::tanh:
    case Prim::erf:
    case Prim::erfc:
    case Prim::erfinv:
    case Prim::lgamma:
    case Prim::pow:
    case Prim::atan2: return true;
    default: return false;
  }
}

int16_t work_of(Prim op) {
  switch (op) {
    case Prim::rng_uniform:
    case Prim::rng_bits: return 6;
    case Prim::div:
    case Prim::rem:
    case Prim::sqrt:
    case Prim::rsqrt: return 2;
    case Prim::convert: return 0;
    default: return 1;
  }
}

}  // namespace

NodeCosts::NodeCosts(const ir::Graph& g) : facts_(g.value_count()) {
  // Through views: what the value below them is made of.
  for (const ir::Node& n : g.nodes()) {
    NodeClass c = class_of(g, n);
    Facts& f = facts_[ir::index_of(n.results[0])];
    if (c == NodeClass::view) {
      f = facts_[ir::index_of(n.operands[0])];
      const ir::Node* below = g.def(n.operands[0]);
      if (!below) f.leaves = 1;
      continue;
    }
    if (c == NodeClass::reduce) {
      ReduceForm form = reduce_form(g, n);
      f.leaves = 1;
      if (form.kind == TileKind::row) f.row = form.space[1];
      continue;
    }
    if (c == NodeClass::library || c == NodeClass::move) {
      for (ir::ValueId v : n.results) facts_[ir::index_of(v)].leaves = 1;
      continue;
    }
    if (c != NodeClass::pointwise) continue;
    int work = work_of(n.op), leaves = 0;
    int64_t size = g.type(n.results[0]).shape.numel();
    f.is_heavy = is_transcendental(n.op);
    for (ir::ValueId v : n.operands) {
      const Facts& operand = facts_[ir::index_of(v)];
      ir::ValueId base = v;
      while (g.def(base) && class_of(g, *g.def(base)) == NodeClass::view)
        base = g.def(base)->operands[0];
      work += operand.work;
      f.is_heavy |= operand.is_heavy;
      if (g.type(base).shape.numel() * 2 >= size) leaves += g.def(base) ? operand.leaves : 1;
      if (operand.row > 0 && g.type(base).shape.numel() == size) f.row = operand.row;
    }
    f.work = static_cast<int16_t>(std::min(work, 1000));
    f.leaves = static_cast<int16_t>(std::min(leaves, 1000));
  }
}

}  // namespace moai::codegen
