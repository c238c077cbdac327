#include "codegen/rewriter.h"

#include <bit>
#include <type_traits>

#include "src/base/hash.h"

namespace moai::codegen {
namespace {

void add_shape(Hash128& h, const Shape& s) {
  h.add(static_cast<uint64_t>(s.rank()));
  for (int64_t d : s) h.add(static_cast<uint64_t>(d));
}

struct FieldHash {
  Hash128& h;
  template <class T>
  void operator()(const char*, const T& v) {
    if constexpr (std::is_same_v<T, Shape>)
      add_shape(h, v);
    else if constexpr (std::is_same_v<T, double>)
      h.add(std::bit_cast<uint64_t>(v));
    else
      h.add(static_cast<uint64_t>(v));
  }
};

}  // namespace

void NodeTable::reserve(size_t nodes) { grow(2 * (nodes + 16)); }

void NodeTable::grow(size_t slots) {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(std::bit_ceil(slots)));
  const size_t mask = slots_.size() - 1;
  for (const Slot& s : old) {
    if (s.node == kFree) continue;
    size_t at = s.hash & mask;
    while (slots_[at].node != kFree) at = (at + 1) & mask;
    slots_[at] = s;
  }
}

uint64_t Rewriter::hash_of(Prim op, const Attrs& attrs, const ir::ValueList& operands,
                           std::span<const ir::Type> results) const {
  Hash128 h;
  h.add(static_cast<uint64_t>(op));
  // visit() serves readers and writers alike; this one reads.
  std::visit([&](auto& a) { a.visit(FieldHash{h}); }, const_cast<Attrs&>(attrs));
  for (ValueId v : operands) h.add(ir::index_of(v));
  for (const ir::Type& t : results) {
    h.add(static_cast<uint64_t>(t.dtype));
    add_shape(h, t.shape);
  }
  return h.id().lo;
}

ir::ValueId Rewriter::add(Prim op, const Attrs& attrs, ir::ValueList operands,
                          std::span<const ir::Type> results) {
  uint64_t hash = hash_of(op, attrs, operands, results);
  auto same_constant = [&](const Attrs& a) {
    // Equality of doubles takes 0 and -0 for one, and NaN for none.
    const auto *x = std::get_if<ConstantAttrs>(&a), *y = std::get_if<ConstantAttrs>(&attrs);
    return x && y && std::bit_cast<uint64_t>(x->f) == std::bit_cast<uint64_t>(y->f) && x->i == y->i;
  };
  auto is_same = [&](uint32_t node) {
    const ir::Node& n = out_.nodes()[node];
    if (n.op != op || !(n.operands == operands) || n.results.size() != results.size() ||
        !(op == Prim::constant ? same_constant(n.attrs) : n.attrs == attrs))
      return false;
    for (size_t r = 0; r < results.size(); r++)
      if (out_.type(n.results[r]) != results[r]) return false;
    return true;
  };
  const auto next = static_cast<uint32_t>(out_.nodes().size());
  const uint32_t found = known_.find_or_add(hash, next, is_same);
  if (found != next) return out_.nodes()[found].results[0];
  return out_.append(op, attrs, std::move(operands), results, source_);
}

ir::ValueId Rewriter::number(double v, const ir::Type& type) {
  ConstantAttrs a;
  if (is_float(type.dtype))
    a.f = v;
  else
    a.i = static_cast<int64_t>(v);
  return constant(a, type);
}

ir::ValueId Rewriter::pointwise(Prim op, ir::ValueList operands) {
  ir::Type t = type(operands.back());
  if (info(op).domain == Domain::truth) t.dtype = DType::boolean;
  return add(op, NoAttrs{}, std::move(operands), {t});
}

ir::ValueId Rewriter::convert(ValueId v, DType to) {
  return dtype(v) == to ? v : add(Prim::convert, NoAttrs{}, {v}, {{to, shape(v)}});
}

ir::ValueId Rewriter::reshape(ValueId v, const Shape& to) {
  while (def(v) && def(v)->op == Prim::reshape) v = def(v)->operands[0];
  if (shape(v) == to) return v;
  if (const ConstantAttrs* c = as_constant(v)) return constant(ConstantAttrs(*c), {dtype(v), to});
  return add(Prim::reshape, NoAttrs{}, {v}, {{dtype(v), to}});
}

ir::ValueId Rewriter::transpose(ValueId v, const Shape& dims) {
  Shape to = dims;
  bool is_identity = true;
  for (int i = 0; i < dims.rank(); i++) {
    to[i] = shape(v)[static_cast<int>(dims[i])];
    is_identity &= dims[i] == i;
  }
  return is_identity ? v : add(Prim::transpose, DimsAttrs{dims}, {v}, {{dtype(v), to}});
}

ir::ValueId Rewriter::broadcast(ValueId v, const Shape& to, const Shape& dims) {
  if (shape(v) == to) return v;
  return add(Prim::broadcast_in_dim, DimsAttrs{dims}, {v}, {{dtype(v), to}});
}

ir::ValueId Rewriter::reduce(ReduceKind kind, ValueId v, const Shape& axes) {
  Shape to;
  for (int d = 0; d < shape(v).rank(); d++) {
    bool is_kept = true;
    for (int64_t a : axes) is_kept &= a != d;
    if (is_kept) to.push_back(shape(v)[d]);
  }
  return add(Prim::reduce, ReduceAttrs{kind, axes}, {v}, {{dtype(v), to}});
}

const ConstantAttrs* Rewriter::as_constant(ValueId v) const {
  const ir::Node* n = def(v);
  return n && n->op == Prim::constant ? &std::get<ConstantAttrs>(n->attrs) : nullptr;
}

bool Rewriter::is_number(ValueId v, double number) const {
  const ConstantAttrs* c = as_constant(v);
  if (!c) return false;
  if (is_float(dtype(v))) return std::bit_cast<uint64_t>(c->f) == std::bit_cast<uint64_t>(number);
  return is_integer(dtype(v)) && static_cast<double>(c->i) == number;
}

}  // namespace moai::codegen
