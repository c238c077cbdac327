#include "codegen/merge_dots.h"

#include <algorithm>
#include <map>
#include <queue>
#include <set>

#include "codegen/join.h"
#include "codegen/rewriter.h"

namespace moai::codegen {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;

constexpr size_t kMembersMin = 4;  // fewer gain less than the joining costs
constexpr int64_t kRowsMax = 64;   // more are a product worth a kernel of its own
constexpr uint32_t kNone = UINT32_MAX;

// A product of two matrices without batch: which axis of each side is summed.
struct MatrixDot {
  ValueId side[2];
  int contract[2];
};

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

bool is_column_sum(const Graph& g, const Node& n) {
  if (n.op != Prim::reduce) return false;
  const auto& a = std::get<ReduceAttrs>(n.attrs);
  return a.kind == ReduceKind::sum && a.axes == Shape{0} && g.type(n.operands[0]).shape.rank() == 2;
}

// Nodes that are made as one.
struct Unit {
  enum class Kind : uint8_t { siblings, sum } kind;
  std::vector<uint32_t>
      members;     // siblings: the products in the order of their rows; sum: products or reduces
  int shared = 0;  // siblings: the side that they have in common
  uint32_t root = kNone;      // sum: the last addition
  std::vector<ValueId> rest;  // sum: what else it adds
};

class Merger {
 public:
  explicit Merger(const Graph& g)
      : g_(g), uses_(g.value_count()), readers_(g.value_count(), kNone) {
    for (uint32_t i = 0; i < g.nodes().size(); i++)
      for (ValueId v : g.nodes()[i].operands) uses_[index_of(v)]++, readers_[index_of(v)] = i;
    for (const ir::Output& o : g.outputs()) uses_[index_of(o.value)] += 2;  // has to exist
  }

  bool find() {
    for (uint32_t i = 0; i < g_.nodes().size(); i++) find_sum(i);
    find_siblings();
    for (const Tree& t : reduce_trees_) accept_reduces(t);
    while (!units_.empty() && !has_order()) units_.pop_back();
    return !units_.empty();
  }
  Graph rebuild();

 private:
  struct Tree {
    uint32_t root;
    std::vector<uint32_t> members;
    std::vector<ValueId> rest;
  };

  uint32_t node_of(ValueId v) const {
    const Node* n = g_.def(v);
    return n ? static_cast<uint32_t>(n - g_.nodes().data()) : kNone;
  }
  bool is_addition(uint32_t i) const {
    const Node& n = g_.nodes()[i];
    DType t = g_.type(n.results[0]).dtype;
    return n.op == Prim::add && (t == DType::f32 || t == DType::f64);
  }
  ValueId below_transposes(ValueId v) const {
    while (g_.def(v) && g_.def(v)->op == Prim::transpose) v = g_.def(v)->operands[0];
    return v;
  }

  // The product that is added as x: itself, or turned and turned back and widened on the way, as
  // gradients of weights in a narrow type are. kNone: none, or one that is read elsewhere.
  uint32_t product_of(ValueId x) const {
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
  static bool is_narrow(DType t) { return t == DType::f16 || t == DType::bf16; }

  // The tree of additions that ends in node i, if that is its root.
  void find_sum(uint32_t i) {
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
  bool is_short(const MatrixDot& d) const {
    return g_.type(d.side[0]).shape[d.contract[0]] <= kRowsMax;
  }
  bool is_alike(const MatrixDot& a, const MatrixDot& b) const {
    for (int s = 0; s < 2; s++)
      if (a.contract[s] != b.contract[s] || g_.type(a.side[s]) != g_.type(b.side[s])) return false;
    return true;
  }

  using Order = std::vector<ValueId>;
  // The values under the transposes of one side, sorted: equal sets are joined in equal order.
  Order set_of(const std::vector<uint32_t>& members, size_t side) const {
    Order set;
    for (uint32_t n : members) set.push_back(below_transposes(g_.nodes()[n].operands[side]));
    std::sort(set.begin(), set.end());
    return set;
  }
  bool is_set(const Order& sorted) const {
    return std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
  }
  void sort_as(std::vector<uint32_t>& members, size_t side, const Order& order) const {
    std::map<ValueId, size_t> rank;
    for (size_t i = 0; i < order.size(); i++) rank[order[i]] = i;
    auto rank_of = [&](uint32_t n) {
      return rank.at(below_transposes(g_.nodes()[n].operands[side]));
    };
    std::sort(members.begin(), members.end(),
              [&](uint32_t a, uint32_t b) { return rank_of(a) < rank_of(b); });
  }
  void remember(const std::vector<uint32_t>& members, size_t side) {
    Order order;
    for (uint32_t n : members) order.push_back(below_transposes(g_.nodes()[n].operands[side]));
    orders_.emplace(set_of(members, side), std::move(order));
  }

  void accept_dots(Tree& t) {
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
  // Only where the join exists anyhow.
  void accept_reduces(const Tree& t) {
    auto it = orders_.find(set_of(t.members, 0));
    if (it == orders_.end() || !is_set(it->first)) return;
    Unit u{Unit::Kind::sum, t.members, 0, t.root, t.rest};
    sort_as(u.members, 0, it->second);
    units_.push_back(std::move(u));
  }

  void find_siblings() {
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
  // Joining inputs, the weights of several layers, would copy them in every step.
  bool is_made_here(ValueId v) const {
    const Node* n = g_.def(v);
    while (n && (n->op == Prim::transpose || n->op == Prim::reshape)) n = g_.def(n->operands[0]);
    return n != nullptr;
  }
  // Members that wait for equally many others in a row do not wait for each other.
  std::map<int, std::vector<uint32_t>> by_level(const std::vector<uint32_t>& members) const {
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
  void accept_siblings(std::vector<uint32_t> members, int shared) {
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

  // Whether all can be made: units may wait for each other.
  bool has_order() {
    const size_t made = plan().size();
    return made == steps_;
  }
  // The order in which nodes and units are made, as far as there is one; counts what the outputs
  // need in steps_.
  std::vector<uint32_t> plan();
  void mark_units(std::vector<uint32_t>& unit_of, std::vector<bool>& is_dropped) const;
  template <class F>
  void each_operand(uint32_t node, const std::vector<uint32_t>& unit_of, F&& f) const;

  void make(Rewriter& r, uint32_t node);
  void make_siblings(Rewriter& r, const Unit& u);
  void make_sum(Rewriter& r, const Unit& u);
  ValueId joined(Rewriter& r, const Unit& u, size_t side, int axis) const {
    std::vector<ValueId> parts;
    for (uint32_t n : u.members) parts.push_back(now_[index_of(g_.nodes()[n].operands[side])]);
    return join(r, parts, axis);
  }

  const Graph& g_;
  std::vector<uint32_t> uses_, readers_;
  std::vector<Unit> units_;
  std::vector<Tree> reduce_trees_;
  std::map<Order, Order> orders_;
  size_t steps_ = 0;
  std::vector<ValueId> now_;
};

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

}  // namespace

Graph merge_dots(const Graph& g) {
  Merger merger(g);
  return merger.find() ? merger.rebuild() : g;
}

}  // namespace moai::codegen
