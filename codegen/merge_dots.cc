#include "codegen/merge_dots.h"

#include <algorithm>
#include <queue>

#include "codegen/join.h"
#include "codegen/merger.h"

namespace moai::codegen {

using ir::Graph;
using ir::ValueId;

ValueId Merger::joined(Rewriter& r, const Unit& u, size_t side, int axis) const {
  std::vector<ValueId> parts;
  for (uint32_t n : u.members) parts.push_back(now_[index_of(g_.nodes()[n].operands[side])]);
  return join(r, parts, axis);
}

// unit_of[node]: the unit that is made in the node's place; the others of a unit are dropped.
void Merger::mark_units(std::vector<uint32_t>& unit_of, std::vector<bool>& is_dropped) const {
  for (uint32_t u = 0; u < units_.size(); u++) {
    const Unit& unit = units_[u];
    if (unit.kind == Unit::Kind::sum) {
      unit_of[unit.root] = u;
      continue;  // its additions and products have no other reader
    }
    uint32_t lead = *std::min_element(unit.members.begin(), unit.members.end());
    for (uint32_t n : unit.members) is_dropped[n] = n != lead;
    unit_of[lead] = u;
  }
}

template <class F>
void Merger::each_operand(uint32_t node, const std::vector<uint32_t>& unit_of, F&& f) const {
  if (unit_of[node] == kNone) {
    for (ValueId v : g_.nodes()[node].operands) f(v);
    return;
  }
  const Unit& u = units_[unit_of[node]];
  for (uint32_t n : u.members)
    for (ValueId v : g_.nodes()[n].operands) f(v);
  for (ValueId v : u.rest) f(v);
}

std::vector<uint32_t> Merger::plan() {
  size_t count = g_.nodes().size();
  std::vector<uint32_t> unit_of(count, kNone), lead(count), waits(count);
  std::vector<bool> is_dropped(count), is_live(count);
  mark_units(unit_of, is_dropped);
  for (uint32_t i = 0; i < count; i++) lead[i] = i;
  for (const Unit& u : units_)
    if (u.kind == Unit::Kind::siblings)
      for (uint32_t n : u.members) lead[n] = *std::min_element(u.members.begin(), u.members.end());
  // What the outputs need, in the new structure.
  std::vector<uint32_t> open;
  auto need = [&](ValueId v) {
    uint32_t n = node_of(v);
    if (n == kNone || is_live[lead[n]]) return;
    is_live[lead[n]] = true;
    open.push_back(lead[n]);
  };
  for (const ir::Output& o : g_.outputs()) need(o.value);
  std::vector<std::vector<uint32_t>> readers(count);
  steps_ = 0;
  while (!open.empty()) {
    uint32_t i = open.back();
    open.pop_back();
    steps_++;
    each_operand(i, unit_of, [&](ValueId v) {
      need(v);
      if (uint32_t n = node_of(v); n != kNone) readers[lead[n]].push_back(i), waits[i]++;
    });
  }
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ready;
  for (uint32_t i = 0; i < count; i++)
    if (is_live[i] && waits[i] == 0) ready.push(i);
  std::vector<uint32_t> order;
  while (!ready.empty()) {
    uint32_t i = ready.top();
    ready.pop();
    order.push_back(i);
    for (uint32_t n : readers[i])
      if (--waits[n] == 0) ready.push(n);
  }
  return order;
}

void Merger::make(Rewriter& r, uint32_t node) {
  const Node& n = g_.nodes()[node];
  std::vector<ValueId> operands;
  for (ValueId v : n.operands) operands.push_back(now_[index_of(v)]);
  std::vector<ir::Type> types;
  for (ValueId v : n.results) types.push_back(g_.type(v));
  ValueId made = r.add(n.op, n.attrs, operands, types);
  for (size_t i = 0; i < n.results.size(); i++)
    now_[index_of(n.results[i])] = ValueId{static_cast<uint32_t>(index_of(made) + i)};
}

void Merger::make_siblings(Rewriter& r, const Unit& u) {
  const Node& first = g_.nodes()[u.members[0]];
  MatrixDot d;
  as_matrix_dot(g_, first, d);
  size_t other = static_cast<size_t>(1 - u.shared);
  int axis = 1 - d.contract[other];
  ValueId sides[2];
  sides[u.shared] = now_[index_of(d.side[u.shared])];
  sides[other] = joined(r, u, other, axis);
  // A free axis of the first side is the first of the result.
  ir::Type type = g_.type(first.results[0]);
  int at = other == 0 ? 0 : 1;
  int64_t rows = type.shape[at];
  ir::Type whole = type;
  whole.shape[at] = rows * static_cast<int64_t>(u.members.size());
  ValueId product = r.add(Prim::dot_general, first.attrs, {sides[0], sides[1]}, {whole});
  SliceAttrs part{Shape::filled(2, 0), Shape::filled(2, 1)};
  for (uint32_t n : u.members) {
    now_[index_of(g_.nodes()[n].results[0])] = r.add(Prim::slice, part, {product}, {type});
    part.start[at] += rows;
  }
}

void Merger::make_sum(Rewriter& r, const Unit& u) {
  const Node& first = g_.nodes()[u.members[0]];
  const ir::Type& type = g_.type(g_.nodes()[u.root].results[0]);
  ValueId sum;
  if (MatrixDot d; as_matrix_dot(g_, first, d)) {
    sum = r.add(Prim::dot_general, first.attrs,
                {joined(r, u, 0, d.contract[0]), joined(r, u, 1, d.contract[1])},
                {g_.type(first.results[0])});
    // A narrow product is rounded once, not once a member.
    if (g_.type(first.results[0]).dtype != type.dtype) sum = r.convert(sum, type.dtype);
  } else {
    sum = r.add(Prim::reduce, first.attrs, {joined(r, u, 0, 0)}, {type});
  }
  for (ValueId v : u.rest) sum = r.add(Prim::add, NoAttrs{}, {sum, now_[index_of(v)]}, {type});
  now_[index_of(g_.nodes()[u.root].results[0])] = sum;
}

Graph Merger::rebuild() {
  Rewriter r;
  now_.assign(g_.value_count(), ValueId::none);
  for (const ir::Input& i : g_.inputs())
    now_[index_of(i.value)] = r.add_input(i.kind, i.index, g_.type(i.value));
  std::vector<uint32_t> unit_of(g_.nodes().size(), kNone);
  std::vector<bool> is_dropped(g_.nodes().size());
  mark_units(unit_of, is_dropped);
  for (uint32_t i : plan()) {
    r.set_source(g_.nodes()[i].source);
    if (unit_of[i] == kNone)
      make(r, i);
    else if (units_[unit_of[i]].kind == Unit::Kind::siblings)
      make_siblings(r, units_[unit_of[i]]);
    else
      make_sum(r, units_[unit_of[i]]);
  }
  for (const ir::Output& o : g_.outputs()) r.set_output(o.slot, now_[index_of(o.value)]);
  return r.take();
}

std::optional<Graph> merge_dots(const Graph& g) {
  Merger merger(g);
  if (!merger.find()) return std::nullopt;
  return merger.rebuild();
}

}  // namespace moai::codegen
