// Rules on pointwise nodes. All keep every bit, NaN and the sign of zero included.
#include "codegen/rewriter.h"

#include <algorithm>

#include "src/ir/eval.h"

namespace moai::codegen {
namespace {

using ir::Node;
using ir::Type;
using ir::ValueId;

// Whether every value of `from` is one of `to`.
bool is_exact(DType from, DType to) {
  if (from == to || from == DType::boolean) return from == to || !is_complex(to);
  switch (to) {
    case DType::f64: return from != DType::i64 && !is_complex(from);
    case DType::f32:
      return from == DType::f16 || from == DType::bf16 || from == DType::i16 || from == DType::i8 ||
             from == DType::u8;
    case DType::i64: return is_integer(from);
    case DType::i32: return is_integer(from) && from != DType::i64;
    case DType::i16: return from == DType::i8 || from == DType::u8;
    default: return false;
  }
}

ValueId simplify_convert(Rewriter& r, const Node& n, const Type& result) {
  ValueId v = n.operands[0];
  if (r.dtype(v) == result.dtype) return v;
  const Node* below = r.def(v);
  if (!below || below->op != Prim::convert || !is_exact(r.dtype(below->operands[0]), r.dtype(v)))
    return ValueId::none;
  return r.convert(below->operands[0], result.dtype);
}

ValueId simplify_power(Rewriter& r, const Node& n, const Type& result) {
  ValueId x = n.operands[0], e = n.operands[1];
  if (!is_float(result.dtype)) return ValueId::none;
  if (r.is_number(e, 1)) return x;
  if (r.is_number(e, 2)) return r.pointwise(Prim::mul, {x, x});
  if (r.is_number(e, 0.5)) return r.pointwise(Prim::sqrt, {x});
  // Narrower floats would round twice.
  bool is_wide = result.dtype == DType::f32 || result.dtype == DType::f64;
  if (r.is_number(e, 3) && is_wide)
    return r.pointwise(Prim::mul, {r.pointwise(Prim::mul, {x, x}), x});
  return ValueId::none;
}

ValueId simplify_arithmetic(Rewriter& r, const Node& n, const Type& result) {
  ValueId x = n.operands[0], y = n.operands.size() > 1 ? n.operands[1] : ValueId::none;
  bool is_int = is_integer(result.dtype);
  switch (n.op) {
    case Prim::mul:
      if (r.is_number(y, 1)) return x;
      return r.is_number(x, 1) ? y : ValueId::none;
    case Prim::div: return r.is_number(y, 1) ? x : ValueId::none;
    case Prim::add:
      // -0 + 0 is 0, so only -0 is neutral for floats.
      if (r.is_number(y, is_int ? 0.0 : -0.0)) return x;
      return r.is_number(x, is_int ? 0.0 : -0.0) ? y : ValueId::none;
    case Prim::sub: return r.is_number(y, 0.0) ? x : ValueId::none;
    case Prim::max:
    case Prim::min: return x == y ? x : ValueId::none;
    case Prim::select: {
      if (n.operands[1] == n.operands[2]) return n.operands[1];
      const ConstantAttrs* c = r.as_constant(x);
      return c ? n.operands[c->i != 0 ? 1 : 2] : ValueId::none;
    }
    case Prim::pow: return simplify_power(r, n, result);
    default: return ValueId::none;
  }
}

// op(broadcast a, broadcast b) -> broadcast op(a, b): on the fewer elements.
ValueId push_below_broadcast(Rewriter& r, const Node& n, const Type& result) {
  const Node* seen = nullptr;
  for (ValueId v : n.operands) {
    if (r.as_constant(v)) continue;
    const Node* d = r.def(v);
    if (!d || d->op != Prim::broadcast_in_dim) return ValueId::none;
    if (seen && (seen->attrs != d->attrs || r.shape(seen->operands[0]) != r.shape(d->operands[0])))
      return ValueId::none;
    seen = d;
  }
  if (!seen) return ValueId::none;
  Shape small = r.shape(seen->operands[0]), dims = std::get<DimsAttrs>(seen->attrs).dims;
  ir::ValueList operands;
  for (ValueId v : n.operands) {
    const ConstantAttrs* c = r.as_constant(v);
    operands.push_back(c ? r.constant(ConstantAttrs(*c), {r.dtype(v), small})
                         : r.def(v)->operands[0]);
  }
  Node below{n.op, n.attrs, operands, {}, n.source};
  Type type{result.dtype, small};
  ValueId v = simplify_pointwise(r, below, type);
  if (v == ValueId::none) v = r.add(n.op, n.attrs, operands, {type});
  return r.broadcast(v, result.shape, dims);
}

}  // namespace

ValueId fold_constants(Rewriter& r, const Node& n, const Type& result) {
  if (n.operands.empty() || is_complex(result.dtype)) return ValueId::none;
  ir::Graph g;
  ir::ValueList operands;
  for (ValueId v : n.operands) {
    const ConstantAttrs* c = r.as_constant(v);
    if (!c || is_complex(r.dtype(v))) return ValueId::none;
    operands.push_back(g.append(Prim::constant, *c, {}, {{r.dtype(v), {}}}));
  }
  g.set_output(0, g.append(n.op, n.attrs, operands, {{result.dtype, {}}}));
  auto out = ir::eval(g, {});
  if (!out.ok()) return ValueId::none;
  ConstantAttrs folded;
  if (is_float(result.dtype))
    folded.f = ir::get_real((*out)[0], 0);
  else
    folded.i = ir::get_int((*out)[0], 0);
  return r.constant(folded, result);
}

ValueId simplify_pointwise(Rewriter& r, const Node& n, const Type& result) {
  if (ValueId v = fold_constants(r, n, result); v != ValueId::none) return v;
  ValueId v =
      n.op == Prim::convert ? simplify_convert(r, n, result) : simplify_arithmetic(r, n, result);
  return v != ValueId::none ? v : push_below_broadcast(r, n, result);
}

}  // namespace moai::codegen
