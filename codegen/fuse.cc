// Greedy fusion in one walk from the last node to the first. A node sees all its readers placed; it
// joins the one that runs first, is made anew in each when that is cheap, or opens a kernel that
// runs before all of them. So whatever a kernel reads is made by itself or by a kernel opened later
// in the walk, which runs earlier: no cycle can arise and none has to be looked for.
#include "codegen/fuse.h"

#include <algorithm>
#include <map>

#include "codegen/emit.h"
#include "codegen/index_map.h"
#include "codegen/library.h"
#include "codegen/node_cost.h"
#include "codegen/node_info.h"

namespace moai::codegen {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint32_t kInMemory = UINT32_MAX;  // a use that reads the value where it lies
constexpr int kGroupNodesMax = 64;
constexpr int kEpilogueNodesMax = 16;   // of a row program that begins with its per-row part
constexpr int64_t kRowMax = 64 * 1024;  // elements of a row that is read more than once
constexpr int kNumberWork = 24;         // operations on 0-dim values inside a larger kernel
constexpr int64_t kFewRows = 48;        // of a product that does not pack its operands
constexpr int kTurnedReaders = 3;       // that turning a matrix over pays for
constexpr int kMapsMax = 2;             // times one kernel makes a value

class Fuser {
 public:
  explicit Fuser(const ir::Graph& g)
      : g_(g),
        costs_(g),
        head_(g.value_count(), kNone),
        is_copied_(g.value_count()),
        is_output_(g.value_count()) {}

  std::vector<Group> run() {
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

 private:
  struct Use {
    uint32_t group, map, next;
  };
  struct Open {
    Group out;
    Region region;
    int loads = 0, stores = 0;
    bool is_move = false;
  };
  // What the readers of a value want.
  struct Demand {
    uint32_t first = kNone;  // of its readers, the group that runs first
    bool is_stored = false;  // somebody reads it from memory
    bool is_alone = true;    // one group reads it
    bool is_needed = false;
  };

  void mark_output(ir::ValueId v) {
    v = base_of(g_, v);
    is_output_[index_of(v)] = true;
    if (const ir::Node* n = g_.def(v); n && class_of(g_, *n) == NodeClass::view)
      is_copied_[index_of(v)] = true;
  }
  // A transposed matrix that several products of few rows read is turned over once: each of them
  // reads its rows where they lie, and would otherwise pack all of it.
  void copy_transposed_weights() {
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
  bool is_view_value(ir::ValueId v) const {
    const ir::Node* n = g_.def(v);
    return n && class_of(g_, *n) == NodeClass::view;
  }

  void add_use(ir::ValueId v, uint32_t group, uint32_t map) {
    uint32_t& head = head_[index_of(v)];
    int looked = 0;
    for (uint32_t u = head; u != kNone && looked < 8; u = uses_[u].next, looked++)
      if (uses_[u].group == group && uses_[u].map == map) return;
    uses_.push_back({group, map, head});
    head = static_cast<uint32_t>(uses_.size() - 1);
    if (group != kNone) open_[group].loads++;
  }

  void read_in_memory(ir::ValueId v, uint32_t group) {
    if (is_view_value(v)) is_copied_[index_of(v)] = true;
    add_use(v, group, kInMemory);
  }

  uint32_t open(uint32_t node, TileKind kind, const Shape& space) {
    int frozen = kind == TileKind::column ? 3 : kind == TileKind::row ? 1 : 0;
    Open o{{{node}, true, kind, space}, Region(space, frozen), 0, 1, false};
    open_.push_back(std::move(o));
    return static_cast<uint32_t>(open_.size() - 1);
  }

  // Group `id` reads v at `map`: views fold, the rest is a use that v's node will see.
  void request(uint32_t id, ir::ValueId v, IndexMap map) {
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
  void request_generator(uint32_t id, ir::ValueId v, const ir::Node& n, IndexMap map) {
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
  void request_whole(uint32_t id, ir::ValueId v) {
    Region& region = open_[id].region;
    uint32_t whole = region.whole();
    request(id, v, IndexMap(region.map(whole)));
  }

  Demand demand(ir::ValueId v) const {
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

  template <class F>
  void each_map(ir::ValueId v, uint32_t group, F&& f) const {
    for (uint32_t u = head_[index_of(v)]; u != kNone; u = uses_[u].next)
      if (uses_[u].group == group) f(uses_[u].map);
  }

  bool has_room(uint32_t id, const ir::Node& n) const {
    const Open& o = open_[id];
    int more = static_cast<int>(n.operands.size());
    return static_cast<int>(o.out.nodes.size()) < kGroupNodesMax &&
           o.loads + o.stores + more + 1 <= kTileBuffersMax;
  }

  // The kernel becomes a row program with rows of `size`.
  bool make_row(uint32_t id, int64_t size) {
    Open& o = open_[id];
    if (!o.out.is_tile || o.is_move || size < 1 || size > kRowMax || o.region.numel() % size != 0)
      return false;
    if (o.out.kind == TileKind::row) return o.out.space[1] == size;
    if (o.out.kind != TileKind::pointwise || !o.region.make_row(size)) return false;
    o.out.kind = TileKind::row;
    o.out.space = Shape{o.region.numel() / size, size};
    return true;
  }
  // A value per row that hangs on a reduce over such rows: its kernel should be a row program.
  bool follow_row(ir::ValueId v, uint32_t id) {
    int64_t size = costs_.row_size(v);
    return size > 0 && g_.type(v).shape.numel() * size == open_[id].region.numel() &&
           make_row(id, size);
  }

  bool can_inline(ir::ValueId v, const ir::Node& n, uint32_t id) {
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
  bool is_per_row(ir::ValueId v, uint32_t id) {
    if (open_[id].out.kind == TileKind::pointwise && !follow_row(v, id)) return false;
    if (open_[id].out.kind != TileKind::row) return false;
    bool fits = true;
    uint32_t rows = open_[id].region.rows();
    each_map(v, id, [&](uint32_t map) { fits &= map == rows; });
    return fits;
  }

  // Whether the kernel can store v as it goes: it meets every element once, in v's own order.
  bool can_host(ir::ValueId v, const ir::Node& n, uint32_t id) {
    Open& o = open_[id];
    if (!o.out.is_tile || o.out.kind == TileKind::column || !has_room(id, n)) return false;
    if (o.loads + o.stores + 1 + static_cast<int>(n.operands.size()) > kTileBuffersMax)
      return false;
    int64_t size = g_.type(v).shape.numel();
    uint32_t whole = o.region.whole();
    bool fits = size == o.region.numel();
    each_map(v, id, [&](uint32_t map) { fits &= map == whole; });
    return fits ||
           (!o.is_move && is_per_row(v, id) && size * o.region.space().back() == o.region.numel());
  }

  void join(uint32_t node, uint32_t id) {
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

  void visit(uint32_t node) {
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

  void place_view(uint32_t node, const ir::Node& n) {
    if (!is_copied_[index_of(n.results[0])] || !demand(n.results[0]).is_needed) return;
    uint32_t id = open(node, TileKind::pointwise, Shape{g_.type(n.results[0]).shape.numel()});
    is_copied_[index_of(n.results[0])] = false;
    request_whole(id, n.results[0]);
    is_copied_[index_of(n.results[0])] = true;
  }

  void place_alone(uint32_t node, const ir::Node& n) {
    if (!demand(n.results[0]).is_stored && !is_copied_[index_of(n.results[0])]) return;
    open(node, TileKind::pointwise, Shape{g_.type(n.results[0]).shape.numel()});
  }

  void place_pointwise(uint32_t node, const ir::Node& n) {
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

  // A kernel that reads an operand of n in n's own order, and runs before every reader of n: it
  // makes n too, so that the operand is read once, or never leaves the kernel.
  uint32_t sibling_of(const ir::Node& n, const Demand& d) {
    int64_t size = g_.type(n.results[0]).shape.numel();
    for (ir::ValueId v : n.operands) {
      if (g_.type(v).shape.numel() != size) continue;
      for (uint32_t u = head_[index_of(v)]; u != kNone; u = uses_[u].next) {
        uint32_t id = uses_[u].group;
        if (id == kNone || uses_[u].map == kInMemory || (d.first != kNone && id <= d.first))
          continue;
        Open& o = open_[id];
        if (o.out.is_tile && o.out.kind == TileKind::pointwise && o.region.numel() == size &&
            uses_[u].map == o.region.whole() && has_room(id, n))
          return id;
      }
    }
    return kNone;
  }

  bool inline_everywhere(uint32_t node, const ir::Node& n) {
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

  void place_reduce(uint32_t node, const ir::Node& n) {
    Demand d = demand(n.results[0]);
    if (!d.is_needed) return;
    ReduceForm form = reduce_form(g_, n);
    uint32_t id = form.kind == TileKind::row ? row_for(n, form, d) : column_for(n, form, d);
    if (id == kNone) {
      id = open(node, form.kind, form.space);
      if (form.kind == TileKind::column) columns_[key_of(form)] = id;
    } else {
      uint32_t uses = 0;
      each_map(n.results[0], id, [&](uint32_t) { uses++; });
      open_[id].loads -= static_cast<int>(uses);
      open_[id].out.nodes.push_back(node);
      if (d.is_stored || !d.is_alone || uses == 0) open_[id].stores++;
    }
    request_whole(id, n.operands[0]);
  }

  // The kernel of a row reduce's first reader, when it can take the reduce in.
  uint32_t row_for(const ir::Node& n, const ReduceForm& form, const Demand& d) {
    uint32_t id = d.first;
    if (id == kNone || !open_[id].out.is_tile || open_[id].is_move || !has_room(id, n))
      return kNone;
    Open& o = open_[id];
    bool fits = true;
    if (o.region.numel() == form.space.numel() && make_row(id, form.space[1])) {
      uint32_t rows = o.region.rows();
      each_map(n.results[0], id, [&](uint32_t map) { fits &= map == rows; });
      return fits ? id : kNone;
    }
    // Its reader works on one value a row: that becomes the end of a row program.
    if (o.out.kind != TileKind::pointwise || o.region.numel() != form.space[0] ||
        o.out.nodes.size() > kEpilogueNodesMax)
      return kNone;
    uint32_t whole = o.region.whole();
    each_map(n.results[0], id, [&](uint32_t map) { fits &= map == whole; });
    if (!fits || !o.region.append_row(form.space[1])) return kNone;
    o.out.kind = TileKind::row;
    o.out.space = form.space;
    return id;
  }

  // A column program over the same operand shape that runs before every reader, so that both share
  // a pass.
  uint32_t column_for(const ir::Node& n, const ReduceForm& form, const Demand& d) {
    auto it = columns_.find(key_of(form));
    if (it == columns_.end() || (d.first != kNone && it->second <= d.first) ||
        !has_room(it->second, n))
      return kNone;
    return shares_operand(n.operands[0], it->second) ? it->second : kNone;
  }
  bool shares_operand(ir::ValueId v, uint32_t id) const {
    auto is_read = [&](ir::ValueId x) {
      int looked = 0;
      for (uint32_t u = head_[index_of(x)]; u != kNone && looked < 8; u = uses_[u].next, looked++)
        if (uses_[u].group == id) return true;
      return false;
    };
    v = below_reshapes(v);
    if (is_read(v)) return true;
    const ir::Node* n = g_.def(v);
    if (!n || class_of(g_, *n) != NodeClass::pointwise) return false;
    for (ir::ValueId operand : n->operands)
      if (is_read(below_reshapes(operand))) return true;
    return false;
  }
  ir::ValueId below_reshapes(ir::ValueId v) const {
    for (const ir::Node* n = g_.def(v); n && n->op == Prim::reshape; n = g_.def(v))
      v = n->operands[0];
    return v;
  }
  // A 0-dim value below its views, all of which are free.
  ir::ValueId below_views(ir::ValueId v) const {
    while (is_view_value(v) && g_.def(v)->op != Prim::bitcast) v = g_.def(v)->operands[0];
    return g_.def(v) && g_.def(v)->op == Prim::bitcast
               ? contiguous_base(g_, is_copied_, v, false).value
               : v;
  }
  bool is_generator(ir::ValueId v) const {
    const ir::Node* n = g_.def(v);
    return n && class_of(g_, *n) == NodeClass::generator;
  }
  static std::array<int64_t, 3> key_of(const ReduceForm& f) {
    return {f.space[0], f.space[1], f.space[2]};
  }

  void place_move(uint32_t node, const ir::Node& n) {
    if (!demand(n.results[0]).is_needed) return;
    Shape space = move_space(g_, n, 0);
    bool is_whole = n.op != Prim::concat || is_one_move(g_, n);
    uint32_t id = open(node, TileKind::pointwise, is_whole ? Shape{space.numel()} : Shape{1});
    open_[id].is_move = true;
    // The splits that the destination needs come first.
    if (n.op != Prim::pad && is_whole)
      for (size_t i = 0; i < (n.op == Prim::concat ? n.operands.size() : 1); i++)
        part_map(g_, n, i, open_[id].region);
    if (n.op == Prim::update_slice) {
      request_whole(id, n.operands[1]);
      read_in_memory(contiguous_base(g_, is_copied_, n.operands[0], true).value, id);
    } else if (n.op == Prim::pad) {
      if (space.numel() > 0) request_padded(id, n, space);
      if (ir::ValueId fill = below_views(n.operands[1]); !is_generator(fill))
        read_in_memory(fill, id);
    } else if (is_whole) {
      open_[id].stores += static_cast<int>(n.operands.size()) - 1;
      for (ir::ValueId part : n.operands) request_whole(id, part);
    } else {
      for (size_t i = 0; i < n.operands.size(); i++)
        if (g_.type(n.operands[i]).shape.numel() > 0) request_part(id, n, i);
    }
  }

  void request_padded(uint32_t id, const ir::Node& n, const Shape& space) {
    Region& region = open_[id].region;
    region = Region(space, 0);
    open_[id].out.space = space;
    part_map(g_, n, 0, region);
    request(id, n.operands[0], padded_map(g_, n));
  }

  // A part of a concat that is not one kernel: made in its place, or copied over a space of its
  // own.
  void request_part(uint32_t id, const ir::Node& n, size_t i) {
    ir::ValueId part = n.operands[i];
    Region region(Shape{g_.type(part).shape.numel()}, 0);
    part_map(g_, n, i, region);
    IndexMap map = region.map(region.whole());
    read_in_memory(strided_part(g_, is_copied_, part, region, map), id);
  }

  void place_library(uint32_t node, const ir::Node& n) {
    bool is_needed = false;
    for (ir::ValueId v : n.results) is_needed |= demand(v).is_needed;
    if (!is_needed) return;
    uint32_t id = open(node, TileKind::pointwise, Shape{1});
    open_[id].out.is_tile = false;
    if (n.op == Prim::dot_general) {
      DotAccess access = dot_access(g_, is_copied_, n);
      read_in_memory(access.base[0], id);
      read_in_memory(access.base[1], id);
      return;
    }
    bool is_strided = operand_layout(n.op) == Layout::strided;
    bool skips_base = has_zero_base(g_, n);
    for (size_t i = skips_base ? 1 : 0; i < n.operands.size(); i++) {
      ir::ValueId v = n.operands[i];
      read_in_memory(is_strided ? strided_base(g_, is_copied_, v).value
                                : contiguous_base(g_, is_copied_, v, true).value,
                     id);
    }
  }

  const ir::Graph& g_;
  NodeCosts costs_;
  std::vector<uint32_t> head_;  // per value: its last use, or kNone
  std::vector<Use> uses_;
  Flags is_copied_, is_output_;
  std::vector<Open> open_;  // in the order they were opened: the last one runs first
  std::map<std::array<int64_t, 3>, uint32_t> columns_;
};

}  // namespace

std::vector<Group> fuse(const ir::Graph& graph) { return Fuser(graph).run(); }

}  // namespace moai::codegen
