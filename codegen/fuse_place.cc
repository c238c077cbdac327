// Where reduces, moves and library kernels go.
#include <algorithm>

#include "codegen/fuser.h"
#include "codegen/library.h"

namespace moai::codegen {
namespace {

constexpr int kEpilogueNodesMax = 16;  // of a row program that begins with its per-row part

}  // namespace

void Fuser::place_reduce(uint32_t node, const ir::Node& n) {
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

uint32_t Fuser::row_for(const ir::Node& n, const ReduceForm& form, const Demand& d) {
  uint32_t id = d.first;
  if (id == kNone || !open_[id].out.is_tile || open_[id].is_move || !has_room(id, n)) return kNone;
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

uint32_t Fuser::column_for(const ir::Node& n, const ReduceForm& form, const Demand& d) {
  auto it = columns_.find(key_of(form));
  if (it == columns_.end() || (d.first != kNone && it->second <= d.first) ||
      !has_room(it->second, n))
    return kNone;
  return shares_operand(n.operands[0], it->second) ? it->second : kNone;
}

bool Fuser::shares_operand(ir::ValueId v, uint32_t id) const {
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

ir::ValueId Fuser::below_reshapes(ir::ValueId v) const {
  for (const ir::Node* n = g_.def(v); n && n->op == Prim::reshape; n = g_.def(v))
    v = n->operands[0];
  return v;
}

ir::ValueId Fuser::below_views(ir::ValueId v) const {
  while (is_view_value(v) && g_.def(v)->op != Prim::bitcast) v = g_.def(v)->operands[0];
  return g_.def(v) && g_.def(v)->op == Prim::bitcast
             ? contiguous_base(g_, is_copied_, v, false).value
             : v;
}

void Fuser::place_move(uint32_t node, const ir::Node& n) {
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

void Fuser::request_padded(uint32_t id, const ir::Node& n, const Shape& space) {
  Region& region = open_[id].region;
  region = Region(space, 0);
  open_[id].out.space = space;
  part_map(g_, n, 0, region);
  request(id, n.operands[0], padded_map(g_, n));
}

void Fuser::request_part(uint32_t id, const ir::Node& n, size_t i) {
  ir::ValueId part = n.operands[i];
  Region region(Shape{g_.type(part).shape.numel()}, 0);
  part_map(g_, n, i, region);
  IndexMap map = region.map(region.whole());
  read_in_memory(strided_part(g_, is_copied_, part, region, map), id);
}

void Fuser::place_library(uint32_t node, const ir::Node& n) {
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

}  // namespace moai::codegen
