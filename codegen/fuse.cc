// The walk, pointwise nodes, and what a kernel reads.
#include <algorithm>

#include "codegen/emit.h"
#include "codegen/fuser.h"

namespace moai::codegen {
namespace {

constexpr int kGroupNodesMax = 64;
constexpr int64_t kRowMax = 64 * 1024;  // elements of a row that is read more than once
constexpr int kNumberWork = 24;         // operations on 0-dim values inside a larger kernel
constexpr int64_t kFewRows = 48;        // of a product that does not pack its operands
constexpr int kTurnedReaders = 3;       // that turning a matrix over pays for
constexpr int kMapsMax = 2;             // times one kernel makes a value

}  // namespace

std::vector<Group> Fuser::run() {
  for (const ir::Output& o : g_.outputs()) mark_output(o.value);
  copy_transposed_weights();
  for (size_t i = g_.nodes().size(); i-- > 0;) visit(static_cast<uint32_t>(i));
  std::vector<Group> out;
  for (size_t i = open_.size(); i-- > 0;) {
    Group& group = open_[i].out;
    std::sort(group.nodes.begin(), group.nodes.end());
    out.push_back(std::move(group));
  }
  return out;
}

void Fuser::mark_output(ir::ValueId v) {
  v = base_of(g_, v);
  is_output_[index_of(v)] = true;
  if (const ir::Node* n = g_.def(v); n && class_of(g_, *n) == NodeClass::view)
    is_copied_[index_of(v)] = true;
}

void Fuser::copy_transposed_weights() {
  std::map<ir::ValueId, int> readers;
  for (const ir::Node& n : g_.nodes()) {
    if (n.op != Prim::dot_general) continue;
    const auto& a = std::get<DotAttrs>(n.attrs);
    const ir::Node* b = g_.def(n.operands[1]);
    const Shape& rows = g_.type(n.operands[0]).shape;
    if (!b || b->op != Prim::transpose || a.batch_a.rank() || rows.rank() != 2 ||
        a.contract_a != Shape{1} || a.contract_b != Shape{0} || rows[0] > kFewRows)
      continue;
    if (++readers[n.operands[1]] == kTurnedReaders) is_copied_[index_of(n.operands[1])] = true;
  }
}

void Fuser::add_use(ir::ValueId v, uint32_t group, uint32_t map) {
  uint32_t& head = head_[index_of(v)];
  int looked = 0;
  for (uint32_t u = head; u != kNone && looked < 8; u = uses_[u].next, looked++)
    if (uses_[u].group == group && uses_[u].map == map) return;
  uses_.push_back({group, map, head});
  head = static_cast<uint32_t>(uses_.size() - 1);
  if (group != kNone) open_[group].loads++;
}

void Fuser::read_in_memory(ir::ValueId v, uint32_t group) {
  if (is_view_value(v)) is_copied_[index_of(v)] = true;
  add_use(v, group, kInMemory);
}

uint32_t Fuser::open(uint32_t node, TileKind kind, const Shape& space) {
  int frozen = kind == TileKind::column ? 3 : kind == TileKind::row ? 1 : 0;
  Open o{{{node}, true, kind, space}, Region(space, frozen), 0, 1, false};
  open_.push_back(std::move(o));
  return static_cast<uint32_t>(open_.size() - 1);
}

void Fuser::request(uint32_t id, ir::ValueId v, IndexMap map) {
  Region& region = open_[id].region;
  v = region.follow(g_, v, map, [&](ir::ValueId x) { return folds(g_, is_copied_, x); });
  const ir::Node* n = g_.def(v);
  if (!n || is_copied_[index_of(v)]) return add_use(v, id, region.intern(map));
  switch (class_of(g_, *n)) {
    case NodeClass::generator: return request_generator(id, v, *n, map);
    case NodeClass::view:
      if (n->op == Prim::bitcast)
        return read_in_memory(contiguous_base(g_, is_copied_, v, false).value, id);
      is_copied_[index_of(v)] = true;
      return add_use(v, id, region.intern(map));
    default: return add_use(v, id, region.intern(map));
  }
}

void Fuser::request_generator(uint32_t id, ir::ValueId v, const ir::Node& n, IndexMap map) {
  if (n.op == Prim::constant) return;
  Region& region = open_[id].region;
  int axis = static_cast<int>(std::get<AxisAttrs>(n.attrs).axis);
  IndexMap index = map;
  if (region.axis_index(g_.type(v).shape, axis, index)) {
    region.intern(index);
    return;
  }
  is_copied_[index_of(v)] = true;
  add_use(v, id, region.intern(map));
}

void Fuser::request_whole(uint32_t id, ir::ValueId v) {
  Region& region = open_[id].region;
  uint32_t whole = region.whole();
  request(id, v, IndexMap(region.map(whole)));
}

Fuser::Demand Fuser::demand(ir::ValueId v) const {
  Demand d;
  d.is_stored = d.is_needed = is_output_[index_of(v)];
  for (uint32_t u = head_[index_of(v)]; u != kNone; u = uses_[u].next) {
    const Use& use = uses_[u];
    d.is_needed = true;
    if (use.map == kInMemory) d.is_stored = true;
    if (d.first != kNone && d.first != use.group) d.is_alone = false;
    if (d.first == kNone || use.group > d.first) d.first = use.group;
  }
  return d;
}

bool Fuser::has_room(uint32_t id, const ir::Node& n) const {
  const Open& o = open_[id];
  int more = static_cast<int>(n.operands.size());
  return static_cast<int>(o.out.nodes.size()) < kGroupNodesMax &&
         o.loads + o.stores + more + 1 <= kTileBuffersMax;
}

bool Fuser::make_row(uint32_t id, int64_t size) {
  Open& o = open_[id];
  if (!o.out.is_tile || o.is_move || size < 1 || size > kRowMax || o.region.numel() % size != 0)
    return false;
  if (o.out.kind == TileKind::row) return o.out.space[1] == size;
  if (o.out.kind != TileKind::pointwise || !o.region.make_row(size)) return false;
  o.out.kind = TileKind::row;
  o.out.space = Shape{o.region.numel() / size, size};
  return true;
}

bool Fuser::follow_row(ir::ValueId v, uint32_t id) {
  int64_t size = costs_.row_size(v);
  return size > 0 && g_.type(v).shape.numel() * size == open_[id].region.numel() &&
         make_row(id, size);
}

bool Fuser::can_inline(ir::ValueId v, const ir::Node& n, uint32_t id) {
  if (!open_[id].out.is_tile || !has_room(id, n)) return false;
  int maps = 0;
  bool is_free = true, is_redundant = false;
  each_map(v, id, [&](uint32_t map) {
    maps++;
    if (map == kInMemory)
      is_free = false;
    else
      is_redundant |= open_[id].region.is_redundant(map);
  });
  if (!is_free || maps > kMapsMax) return false;
  // A single number costs the same however many elements read it: it is made once a chunk.
  bool is_number = g_.type(v).shape.numel() == 1 && costs_.work(v) <= kNumberWork;
  bool is_light = is_number || (!costs_.is_heavy(v) && costs_.work(v) <= kCheapWork);
  if (maps > 1 && !is_light) return false;
  if (!is_redundant || is_light) return true;
  return maps == 1 && is_per_row(v, id);
}

bool Fuser::is_per_row(ir::ValueId v, uint32_t id) {
  if (open_[id].out.kind == TileKind::pointwise && !follow_row(v, id)) return false;
  if (open_[id].out.kind != TileKind::row) return false;
  bool fits = true;
  uint32_t rows = open_[id].region.rows();
  each_map(v, id, [&](uint32_t map) { fits &= map == rows; });
  return fits;
}

bool Fuser::can_host(ir::ValueId v, const ir::Node& n, uint32_t id) {
  Open& o = open_[id];
  if (!o.out.is_tile || o.out.kind == TileKind::column || !has_room(id, n)) return false;
  if (o.loads + o.stores + 1 + static_cast<int>(n.operands.size()) > kTileBuffersMax) return false;
  int64_t size = g_.type(v).shape.numel();
  uint32_t whole = o.region.whole();
  bool fits = size == o.region.numel();
  each_map(v, id, [&](uint32_t map) { fits &= map == whole; });
  return fits ||
         (!o.is_move && is_per_row(v, id) && size * o.region.space().back() == o.region.numel());
}

void Fuser::join(uint32_t node, uint32_t id) {
  const ir::Node& n = g_.nodes()[node];
  ir::ValueId v = n.results[0];
  open_[id].out.nodes.push_back(node);
  std::vector<uint32_t> maps;
  each_map(v, id, [&](uint32_t map) { maps.push_back(map); });
  open_[id].loads -= static_cast<int>(maps.size());
  bool is_random = n.op == Prim::rng_uniform || n.op == Prim::rng_bits;
  for (uint32_t map : maps)
    for (ir::ValueId operand : n.operands) {
      Region& region = open_[id].region;
      uint32_t at = is_random ? region.scalar() : map;
      request(id, operand, IndexMap(region.map(at)));
    }
}

void Fuser::visit(uint32_t node) {
  const ir::Node& n = g_.nodes()[node];
  if (g_.type(n.results[0]).shape.numel() == 0) return;
  switch (class_of(g_, n)) {
    case NodeClass::view: return place_view(node, n);
    case NodeClass::generator: return place_alone(node, n);
    case NodeClass::pointwise: return place_pointwise(node, n);
    case NodeClass::reduce: return place_reduce(node, n);
    case NodeClass::move: return place_move(node, n);
    case NodeClass::library: return place_library(node, n);
  }
}

void Fuser::place_view(uint32_t node, const ir::Node& n) {
  if (!is_copied_[index_of(n.results[0])] || !demand(n.results[0]).is_needed) return;
  uint32_t id = open(node, TileKind::pointwise, Shape{g_.type(n.results[0]).shape.numel()});
  is_copied_[index_of(n.results[0])] = false;
  request_whole(id, n.results[0]);
  is_copied_[index_of(n.results[0])] = true;
}

void Fuser::place_alone(uint32_t node, const ir::Node& n) {
  if (!demand(n.results[0]).is_stored && !is_copied_[index_of(n.results[0])]) return;
  open(node, TileKind::pointwise, Shape{g_.type(n.results[0]).shape.numel()});
}

void Fuser::place_pointwise(uint32_t node, const ir::Node& n) {
  ir::ValueId v = n.results[0];
  Demand d = demand(v);
  if (!d.is_needed) return;
  if (d.first != kNone) {
    if (!d.is_stored && d.is_alone && can_inline(v, n, d.first)) return join(node, d.first);
    if (!d.is_stored && costs_.is_cheap(v) && inline_everywhere(node, n)) return;
    if (can_host(v, n, d.first)) {
      open_[d.first].stores++;
      return join(node, d.first);
    }
  }
  uint32_t id = sibling_of(n, d);
  if (id != kNone) {
    open_[id].out.nodes.push_back(node);
    open_[id].stores++;
  } else {
    id = open(node, TileKind::pointwise, Shape{g_.type(v).shape.numel()});
  }
  uint32_t whole = open_[id].region.whole();
  bool is_random = n.op == Prim::rng_uniform || n.op == Prim::rng_bits;
  for (ir::ValueId operand : n.operands) {
    Region& region = open_[id].region;
    request(id, operand, IndexMap(region.map(is_random ? region.scalar() : whole)));
  }
}

uint32_t Fuser::sibling_of(const ir::Node& n, const Demand& d) {
  int64_t size = g_.type(n.results[0]).shape.numel();
  for (ir::ValueId v : n.operands) {
    if (g_.type(v).shape.numel() != size) continue;
    for (uint32_t u = head_[index_of(v)]; u != kNone; u = uses_[u].next) {
      uint32_t id = uses_[u].group;
      if (id == kNone || uses_[u].map == kInMemory || (d.first != kNone && id <= d.first)) continue;
      Open& o = open_[id];
      if (o.out.is_tile && o.out.kind == TileKind::pointwise && o.region.numel() == size &&
          uses_[u].map == o.region.whole() && has_room(id, n))
        return id;
    }
  }
  return kNone;
}

bool Fuser::inline_everywhere(uint32_t node, const ir::Node& n) {
  std::vector<uint32_t> groups;
  for (uint32_t u = head_[index_of(n.results[0])]; u != kNone; u = uses_[u].next)
    groups.push_back(uses_[u].group);
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  for (uint32_t id : groups)
    if (!can_inline(n.results[0], n, id)) return false;
  for (uint32_t id : groups) join(node, id);
  return true;
}

std::vector<Group> fuse(const ir::Graph& graph) { return Fuser(graph).run(); }

}  // namespace moai::codegen
