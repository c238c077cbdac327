// The passes before fusion, in order: local rules with common subexpressions, again over what they
// made, then fma and dead code.
#include "codegen/canonicalize.h"

#include <optional>
#include <utility>
#include <vector>

#include "codegen/merge_dots.h"
#include "codegen/rewriter.h"

namespace moai::codegen {
namespace {

using ir::Graph;
using ir::Node;
using ir::Type;
using ir::ValueId;

constexpr int kLocalPasses = 6;  // most graphs are settled after two

std::vector<uint32_t> use_counts(const Graph& g) {
  std::vector<uint32_t> uses(g.value_count());
  for (const ir::Output& o : g.outputs()) uses[index_of(o.value)]++;
  // Backwards, so that a dead reader does not count.
  for (size_t i = g.nodes().size(); i-- > 0;) {
    const Node& n = g.nodes()[i];
    bool is_used = false;
    for (ValueId v : n.results) is_used |= uses[index_of(v)] > 0;
    if (is_used)
      for (ValueId v : n.operands) uses[index_of(v)]++;
  }
  return uses;
}

bool is_same(const Rewriter& r, ValueId made, const Node& n) {
  const Node* to = r.def(made);
  return to && to->op == n.op && to->operands == n.operands && to->attrs == n.attrs;
}

struct Rebuilt {
  Graph graph;
  bool is_changed = false;  // a rule gave something else than the node
};

// The graph with each live node replaced by what `rule` gives for it, or kept where that is none.
// `rule` sees the old node and one with operands of the new graph.
template <class Rule>
Rebuilt rebuild(const Graph& g, Rule&& rule) {
  std::vector<uint32_t> uses = use_counts(g);
  Rewriter r;
  r.reserve(g.nodes().size());
  bool is_changed = false;
  std::vector<Type> types;
  std::vector<ValueId> now(g.value_count(), ValueId::none);
  for (const ir::Input& i : g.inputs())
    now[index_of(i.value)] = r.add_input(i.kind, i.index, g.type(i.value));
  for (const Node& n : g.nodes()) {
    bool is_used = false;
    for (ValueId v : n.results) is_used |= uses[index_of(v)] > 0;
    if (!is_used) continue;
    Node renamed{n.op, n.attrs, {}, {}, n.source};
    for (ValueId v : n.operands) renamed.operands.push_back(now[index_of(v)]);
    r.set_source(n.source);
    ValueId made = rule(r, n, renamed, uses);
    if (made != ValueId::none) {
      is_changed = is_changed || !is_same(r, made, renamed);
      now[index_of(n.results[0])] = made;
      continue;
    }
    types.clear();
    for (ValueId v : n.results) types.push_back(g.type(v));
    made = r.add(n.op, n.attrs, std::move(renamed.operands), types);
    for (size_t i = 0; i < n.results.size(); i++)
      now[index_of(n.results[i])] = ValueId{static_cast<uint32_t>(index_of(made) + i)};
  }
  for (const ir::Output& o : g.outputs()) r.set_output(o.slot, now[index_of(o.value)]);
  return {r.take(), is_changed};
}

bool is_elementwise(Prim op) { return is_pointwise(op) || op == Prim::convert; }

ValueId simplify(Rewriter& r, const Node& n, const Type& result) {
  if (is_elementwise(n.op)) return simplify_pointwise(r, n, result);
  if (n.op == Prim::reduce) return simplify_reduce(r, n, result);
  return simplify_shape(r, n, result);
}

// Values made element by element that are read by slices alone, each of which feeds pointwise
// nodes, and no element twice: they are better made in the slices' readers.
std::vector<bool> find_sliced(const Graph& g) {
  std::vector<bool> feeds_more(g.value_count()), is_read_whole(g.value_count());
  std::vector<int64_t> sliced(g.value_count());
  for (const ir::Output& o : g.outputs())
    feeds_more[index_of(o.value)] = is_read_whole[index_of(o.value)] = true;
  const std::vector<uint32_t> uses = use_counts(g);
  for (size_t i = g.nodes().size(); i-- > 0;) {
    const Node& n = g.nodes()[i];
    // The last pass may have left readers that nobody reads.
    if (n.results.size() == 1 && uses[index_of(n.results[0])] == 0) continue;
    bool is_slice = n.op == Prim::slice && !feeds_more[index_of(n.results[0])];
    for (ValueId v : n.operands) {
      if (!is_elementwise(n.op)) feeds_more[index_of(v)] = true;
      if (is_slice)
        sliced[index_of(v)] += g.type(n.results[0]).shape.numel();
      else
        is_read_whole[index_of(v)] = true;
    }
  }
  std::vector<bool> out(g.value_count());
  for (const Node& n : g.nodes()) {
    size_t v = index_of(n.results[0]);
    out[v] = is_elementwise(n.op) && !is_read_whole[v] && sliced[v] > 0 &&
             sliced[v] <= g.type(n.results[0]).shape.numel();
  }
  return out;
}

ValueId slice_operands(Rewriter& r, const Node& n, const Type& result) {
  const Node below = *r.def(n.operands[0]);
  ir::ValueList operands;
  for (ValueId v : below.operands)
    operands.push_back(r.add(Prim::slice, n.attrs, {v}, {{r.dtype(v), result.shape}}));
  return r.add(below.op, below.attrs, operands, {result});
}

// a * b + c with a product that nobody else reads is rounded once.
ValueId make_fma(Rewriter& r, const Graph& g, const Node& old, const Node& n,
                 const std::vector<uint32_t>& uses) {
  DType t = g.type(old.results[0]).dtype;
  if (n.op != Prim::add || (t != DType::f32 && t != DType::f64)) return ValueId::none;
  for (size_t side = 0; side < 2; side++) {
    const Node* product = g.def(old.operands[side]);
    if (!product || product->op != Prim::mul || uses[index_of(old.operands[side])] != 1) continue;
    const Node* made = r.def(n.operands[side]);
    if (!made || made->op != Prim::mul) continue;
    return r.add(Prim::fma, NoAttrs{}, {made->operands[0], made->operands[1], n.operands[1 - side]},
                 {g.type(old.results[0])});
  }
  return ValueId::none;
}

// Local rules until none finds anything.
Graph settle(const Graph& graph) {
  Graph now;
  for (int pass = 0; pass < kLocalPasses; pass++) {
    const Graph& g = pass == 0 ? graph : now;
    std::vector<bool> is_sliced = find_sliced(g);
    Rebuilt next =
        rebuild(g, [&](Rewriter& r, const Node& old, const Node& n, const std::vector<uint32_t>&) {
          const Type& result = g.type(old.results[0]);
          const Node* below = n.op == Prim::slice ? r.def(n.operands[0]) : nullptr;
          if (below && is_elementwise(below->op) && is_sliced[index_of(old.operands[0])])
            return slice_operands(r, n, result);
          return simplify(r, n, result);
        });
    now = std::move(next.graph);
    if (!next.is_changed) break;
  }
  return now;
}

}  // namespace

Graph canonicalize(const Graph& graph) {
  Graph g = settle(graph);
  if (std::optional<Graph> merged = merge_dots(g)) g = settle(*merged);
  g = rebuild(g, [&](Rewriter& r, const Node& old, const Node& n,
                     const std::vector<uint32_t>& uses) {
        return make_fma(r, g, old, n, uses);
      }).graph;
  // Drops the products that fma left behind.
  return rebuild(g, [](Rewriter&, const Node&, const Node&,
                       const std::vector<uint32_t>&) { return ValueId::none; })
      .graph;
}

}  // namespace moai::codegen
