// Which products of the graph can be made as one.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "codegen/merger.h"

namespace moai::codegen {

using ir::Graph;
using ir::Node;
using ir::ValueId;

namespace {

constexpr size_t kMembersMin = 4;  // fewer gain less than the joining costs

bool is_column_sum(const Graph& g, const Node& n) {
  if (n.op != Prim::reduce) return false;
  const auto& a = std::get<ReduceAttrs>(n.attrs);
  return a.kind == ReduceKind::sum && a.axes == Shape{0} && g.type(n.operands[0]).shape.rank() == 2;
}

}  // namespace

bool as_matrix_dot(const Graph& g, const Node& n, MatrixDot& out) {
  if (n.op != Prim::dot_general) return false;
  const auto& a = std::get<DotAttrs>(n.attrs);
  if (a.batch_a.rank() || a.contract_a.rank() != 1) return false;
  for (size_t s = 0; s < 2; s++)
    if (g.type(n.operands[s]).shape.rank() != 2) return false;
  out = {{n.operands[0], n.operands[1]},
         {static_cast<int>(a.contract_a[0]), static_cast<int>(a.contract_b[0])}};
  return true;
}

bool Merger::find() {
  for (uint32_t i = 0; i < g_.nodes().size(); i++) find_sum(i);
  find_siblings();
  for (const Tree& t : reduce_trees_) accept_reduces(t);
  while (!units_.empty() && !has_order()) units_.pop_back();
  return !units_.empty();
}

ValueId Merger::below_transposes(ValueId v) const {
  while (g_.def(v) && g_.def(v)->op == Prim::transpose) v = g_.def(v)->operands[0];
  return v;
}

uint32_t Merger::product_of(ValueId x) const {
  const auto is_narrow = [](DType t) { return t == DType::f16 || t == DType::bf16; };
  bool is_turned = false;
  for (; uses_[index_of(x)] == 1; x = g_.def(x)->operands[0]) {
    const Node* n = g_.def(x);
    if (n == nullptr) return kNone;
    if (MatrixDot d; as_matrix_dot(g_, *n, d)) return is_turned ? kNone : node_of(x);
    if (n->op == Prim::transpose)
      is_turned ^= std::get<DimsAttrs>(n->attrs).dims == Shape{1, 0};
    else if (n->op != Prim::convert || !is_narrow(g_.type(n->operands[0]).dtype))
      return kNone;
  }
  return kNone;
}

void Merger::find_sum(uint32_t i) {
  if (!is_addition(i)) return;
  ValueId v = g_.nodes()[i].results[0];
  if (uses_[index_of(v)] == 1 && is_addition(readers_[index_of(v)])) return;
  Tree dots{i, {}, {}}, reduces{i, {}, {}};
  std::vector<ValueId> open(g_.nodes()[i].operands.rbegin(), g_.nodes()[i].operands.rend());
  MatrixDot first, dot;
  while (!open.empty()) {
    ValueId x = open.back();
    open.pop_back();
    uint32_t n = node_of(x);
    bool is_alone = uses_[index_of(x)] == 1;
    if (n != kNone && is_alone && is_addition(n)) {
      open.insert(open.end(), g_.nodes()[n].operands.rbegin(), g_.nodes()[n].operands.rend());
    } else if (const uint32_t product = product_of(x);
               product != kNone && as_matrix_dot(g_, g_.nodes()[product], dot) && is_short(dot) &&
               (dots.members.empty() || is_alike(first, dot))) {
      if (dots.members.empty()) first = dot;
      dots.members.push_back(product), reduces.rest.push_back(x);
    } else if (n != kNone && is_column_sum(g_, g_.nodes()[n])) {
      reduces.members.push_back(n), dots.rest.push_back(x);
    } else {
      dots.rest.push_back(x), reduces.rest.push_back(x);
    }
  }
  if (dots.members.size() >= kMembersMin)
    accept_dots(dots);
  else if (reduces.members.size() >= kMembersMin)
    reduce_trees_.push_back(std::move(reduces));
}

bool Merger::is_alike(const MatrixDot& a, const MatrixDot& b) const {
  for (int s = 0; s < 2; s++)
    if (a.contract[s] != b.contract[s] || g_.type(a.side[s]) != g_.type(b.side[s])) return false;
  return true;
}

Merger::Order Merger::set_of(const std::vector<uint32_t>& members, size_t side) const {
  Order set;
  for (uint32_t n : members) set.push_back(below_transposes(g_.nodes()[n].operands[side]));
  std::sort(set.begin(), set.end());
  return set;
}

void Merger::sort_as(std::vector<uint32_t>& members, size_t side, const Order& order) const {
  std::map<ValueId, size_t> rank;
  for (size_t i = 0; i < order.size(); i++) rank[order[i]] = i;
  auto rank_of = [&](uint32_t n) {
    return rank.at(below_transposes(g_.nodes()[n].operands[side]));
  };
  std::sort(members.begin(), members.end(),
            [&](uint32_t a, uint32_t b) { return rank_of(a) < rank_of(b); });
}

void Merger::remember(const std::vector<uint32_t>& members, size_t side) {
  Order order;
  for (uint32_t n : members) order.push_back(below_transposes(g_.nodes()[n].operands[side]));
  orders_.emplace(set_of(members, side), std::move(order));
}

void Merger::accept_dots(Tree& t) {
  const Order* known[2] = {nullptr, nullptr};
  for (size_t s = 0; s < 2; s++)
    if (auto it = orders_.find(set_of(t.members, s)); it != orders_.end() && is_set(it->first))
      known[s] = &it->second;
  if (known[0] || known[1]) {
    sort_as(t.members, known[0] ? 0 : 1, known[0] ? *known[0] : *known[1]);
  } else {
    // By what was made first: what the forward pass made is then in its order.
    auto key = [&](uint32_t n) {
      const Node& d = g_.nodes()[n];
      return std::min(below_transposes(d.operands[0]), below_transposes(d.operands[1]));
    };
    std::sort(t.members.begin(), t.members.end(),
              [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
  }
  remember(t.members, 0), remember(t.members, 1);
  units_.push_back({Unit::Kind::sum, t.members, 0, t.root, t.rest});
}

void Merger::accept_reduces(const Tree& t) {
  auto it = orders_.find(set_of(t.members, 0));
  if (it == orders_.end() || !is_set(it->first)) return;
  Unit u{Unit::Kind::sum, t.members, 0, t.root, t.rest};
  sort_as(u.members, 0, it->second);
  units_.push_back(std::move(u));
}

void Merger::find_siblings() {
  // By what they share: value and side, the contracted axes, and the rows of the other side.
  std::map<std::tuple<ValueId, int, int, int, int64_t>, std::vector<uint32_t>> by_shared;
  MatrixDot d;
  for (uint32_t i = 0; i < g_.nodes().size(); i++) {
    if (!as_matrix_dot(g_, g_.nodes()[i], d)) continue;
    for (int s = 0; s < 2; s++) {
      int64_t rows = g_.type(d.side[1 - s]).shape[1 - d.contract[1 - s]];
      if (rows <= kRowsMax && is_made_here(d.side[1 - s]))
        by_shared[{d.side[s], s, d.contract[0], d.contract[1], rows}].push_back(i);
    }
  }
  std::set<uint32_t> taken;
  for (const Unit& u : units_)
    for (uint32_t n : u.members) taken.insert(n);
  for (auto& [key, members] : by_shared) {
    if (members.size() < kMembersMin) continue;
    for (auto& [level, same] : by_level(members)) {
      std::erase_if(same, [&](uint32_t n) { return taken.count(n) > 0; });
      if (same.size() < kMembersMin) continue;
      accept_siblings(same, std::get<1>(key));
      taken.insert(same.begin(), same.end());
    }
  }
}

bool Merger::is_made_here(ValueId v) const {
  const Node* n = g_.def(v);
  while (n && (n->op == Prim::transpose || n->op == Prim::reshape)) n = g_.def(n->operands[0]);
  return n != nullptr;
}

std::map<int, std::vector<uint32_t>> Merger::by_level(const std::vector<uint32_t>& members) const {
  std::vector<int> level(g_.value_count());
  std::map<int, std::vector<uint32_t>> out;
  size_t next = 0;
  for (uint32_t i = 0; i < g_.nodes().size(); i++) {
    const Node& n = g_.nodes()[i];
    int at = 0;
    for (ValueId v : n.operands) at = std::max(at, level[index_of(v)]);
    if (next < members.size() && members[next] == i) out[at++].push_back(i), next++;
    for (ValueId v : n.results) level[index_of(v)] = at;
  }
  return out;
}

void Merger::accept_siblings(std::vector<uint32_t> members, int shared) {
  size_t other = static_cast<size_t>(1 - shared);
  Order set = set_of(members, other);
  if (!is_set(set)) return;
  auto it = orders_.find(set);
  if (it != orders_.end())
    sort_as(members, other, it->second);
  else
    sort_as(members, other, set), remember(members, other);
  units_.push_back({Unit::Kind::siblings, std::move(members), shared, kNone, {}});
}

bool Merger::has_order() {
  const size_t made = plan().size();
  return made == steps_;
}

}  // namespace moai::codegen
