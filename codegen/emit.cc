// Walks the groups from the last to the first: what a group reads is known before the group that
// makes it is emitted, so each stores only what somebody needs.
#include "codegen/emit.h"

#include <algorithm>
#include <string>

#include "codegen/library.h"
#include "codegen/node_info.h"
#include "codegen/tile_builder.h"

namespace moai::codegen {

ir::ValueId base_of(const ir::Graph& g, ir::ValueId v) {
  for (const ir::Node* n = g.def(v); n; n = g.def(v)) {
    if (n->op != Prim::reshape && n->op != Prim::bitcast) break;
    v = n->operands[0];
  }
  return v;
}

namespace {

class Emitter {
 public:
  Emitter(const ir::Graph& g, const std::vector<Group>& groups)
      : g_(g),
        groups_(groups),
        is_copied_(g.value_count()),
        is_needed_(g.value_count()),
        is_output_(g.value_count()),
        is_part_(g.value_count()),
        is_member_(g.nodes().size()),
        first_group_(g.nodes().size(), UINT32_MAX) {
    for (size_t i = groups.size(); i-- > 0;)
      for (uint32_t node : groups[i].nodes) {
        first_group_[node] = static_cast<uint32_t>(i);
        const ir::Node& n = g.nodes()[node];
        // An iota in memory is read there: splitting a space for it may rule out what fusion relies
        // on.
        if (class_of(g, n) == NodeClass::view || n.op == Prim::iota)
          is_copied_[index_of(n.results[0])] = true;
      }
    for (const ir::Output& o : g.outputs()) {
      ir::ValueId v = base_of(g, o.value);
      is_needed_[index_of(v)] = true;
      is_output_[index_of(v)] = true;
    }
  }

  StatusOr<Kernels> run() {
    for (size_t i = groups_.size(); i-- > 0;) {
      const Group& group = groups_[i];
      // Kernels are collected from the last to the first, those of one group too.
      std::vector<Kernel> made;
      for (uint32_t node : group.nodes) is_member_[node] = true;
      MOAI_RETURN_IF_ERROR(emit_group(group, static_cast<uint32_t>(i), made));
      for (uint32_t node : group.nodes) is_member_[node] = false;
      for (size_t k = made.size(); k-- > 0;) {
        need_inputs(made[k]);
        made[k].op = g_.nodes()[group.nodes.back()].source;
        out_.kernels.push_back(std::move(made[k]));
      }
    }
    std::reverse(out_.kernels.begin(), out_.kernels.end());
    return std::move(out_);
  }

 private:
  void need_inputs(const Kernel& k) {
    for (size_t b = 0; b < k.buffers.size(); b++)
      if (!k.writes[b]) is_needed_[index_of(k.buffers[b])] = true;
  }

  Status emit_group(const Group& group, uint32_t id, std::vector<Kernel>& made) {
    const ir::Node& last = g_.nodes()[group.nodes.back()];
    if (!group.is_tile) {
      MOAI_ASSIGN_OR_RETURN(Kernel k, library_kernel(g_, is_copied_, last));
      made.push_back(std::move(k));
      return ok_status();
    }
    if (last.op == Prim::pad) return emit_pad(group, last, id, made);
    if (last.op == Prim::concat && !is_one_move(g_, last)) return emit_parts(last, made);
    TileBuilder b(g_, is_copied_, is_member_, group.kind, group.space);
    // The splits that the destination needs come first, as in fusion.
    if (class_of(g_, last) == NodeClass::move)
      for (size_t i = 0; i < (last.op == Prim::concat ? last.operands.size() : 1); i++)
        part_map(g_, last, i, b.region());
    MOAI_RETURN_IF_ERROR(store_members(group, id, b));
    if (last.op == Prim::update_slice) store_update(last, b);
    if (last.op == Prim::concat) store_concat(last, b);
    MOAI_ASSIGN_OR_RETURN(Kernel k, b.finish());
    made.push_back(std::move(k));
    return ok_status();
  }

  // Values of the group that are read elsewhere, or that are the group's reason to be.
  Status store_members(const Group& group, uint32_t id, TileBuilder& b) {
    for (uint32_t node : group.nodes) {
      const ir::Node& n = g_.nodes()[node];
      ir::ValueId v = n.results[0];
      NodeClass c = class_of(g_, n);
      if (c == NodeClass::move || first_group_[node] != id || !is_needed_[index_of(v)]) continue;
      int64_t size = g_.type(v).shape.numel();
      bool is_whole = size == b.region().numel() && c != NodeClass::reduce;
      bool is_row = group.kind == TileKind::row && size * group.space[1] == b.region().numel();
      if (c == NodeClass::reduce && group.kind == TileKind::column) {
        uint32_t map = b.region().without(1);
        b.store(b.value(v, map), v, map);
        continue;
      }
      if (!is_whole && !is_row)
        return internal_error("[emit] a kernel cannot store %" + std::to_string(index_of(v)) +
                              ", which has another size");
      uint32_t map = is_whole ? b.region().whole() : b.region().rows();
      b.store(b.root(v, map), v, map);
      MOAI_RETURN_IF_ERROR(b.status());
    }
    return b.status();
  }

  void store_update(const ir::Node& n, TileBuilder& b) {
    uint32_t map = part_map(g_, n, 0, b.region());
    b.store(b.value(n.operands[1], b.region().whole()), n.results[0], map);
    b.set_base(n.results[0], contiguous_base(g_, is_copied_, n.operands[0], true).value);
  }

  void store_concat(const ir::Node& n, TileBuilder& b) {
    for (size_t i = 0; i < n.operands.size(); i++)
      b.store(b.value(n.operands[i], b.region().whole()), n.results[0],
              part_map(g_, n, i, b.region()));
  }

  // Whether an operand of a concat can be made in its place: by a kernel of this graph, and nobody
  // wants it elsewhere.
  bool can_be_part(ir::ValueId v, uint64_t at) const {
    const ir::Node* n = g_.def(v);
    if (!n || is_part_[index_of(v)] || is_output_[index_of(v)] ||
        at % size_of(g_.type(v).dtype) != 0)  // v may be of a wider type than the whole
      return false;
    NodeClass c = class_of(g_, *n);
    return c != NodeClass::generator && (c != NodeClass::view || is_copied_[index_of(v)]);
  }

  Status emit_parts(const ir::Node& n, std::vector<Kernel>& made) {
    // Parts of a part are copied: one level is what the memory plan knows.
    const bool may_place = joins_outermost(g_, n) && !is_part_[index_of(n.results[0])];
    uint64_t at = 0;
    for (size_t i = 0; i < n.operands.size(); i++) {
      const Shape& shape = g_.type(n.operands[i]).shape;
      if (shape.numel() == 0) continue;
      ir::ValueId base = base_of(g_, n.operands[i]);
      uint64_t begin = at;
      at += g_.type(base).bytes();
      bool is_alone = std::count(n.operands.begin(), n.operands.end(), n.operands[i]) == 1;
      if (may_place && is_alone && can_be_part(base, begin)) {
        is_part_[index_of(base)] = is_needed_[index_of(base)] = true;
        out_.parts.push_back({base, n.results[0], begin});
        continue;
      }
      TileBuilder b(g_, is_copied_, is_member_, TileKind::pointwise, Shape{shape.numel()});
      uint32_t to = part_map(g_, n, i, b.region());
      IndexMap map = b.region().map(b.region().whole());
      ir::ValueId from = strided_part(g_, is_copied_, n.operands[i], b.region(), map);
      b.store(b.load(from, b.region().intern(map)), n.results[0], to);
      MOAI_ASSIGN_OR_RETURN(Kernel k, b.finish());
      made.push_back(std::move(k));
    }
    return ok_status();
  }

  // The edges: everything is filled, then the operand is written over it.
  Status emit_pad(const Group& group, const ir::Node& n, uint32_t id, std::vector<Kernel>& made) {
    const Shape& whole = g_.type(n.results[0]).shape;
    Shape space = move_space(g_, n, 0);
    if (space.numel() != whole.numel()) {
      TileBuilder fill(g_, is_copied_, is_member_, TileKind::pointwise, Shape{whole.numel()});
      int reg = fill.value(n.operands[1], fill.region().scalar());
      fill.store(reg, n.results[0], fill.region().whole());
      MOAI_ASSIGN_OR_RETURN(Kernel k, fill.finish());
      made.push_back(std::move(k));
    }
    if (space.numel() == 0) return ok_status();
    TileBuilder b(g_, is_copied_, is_member_, TileKind::pointwise, group.space);
    // Before anything splits the space.
    uint32_t from = b.region().intern(padded_map(g_, n)), to = part_map(g_, n, 0, b.region());
    MOAI_RETURN_IF_ERROR(store_members(group, id, b));
    b.store(b.value(n.operands[0], from), n.results[0], to);
    MOAI_ASSIGN_OR_RETURN(Kernel k, b.finish());
    made.push_back(std::move(k));
    return ok_status();
  }

  const ir::Graph& g_;
  const std::vector<Group>& groups_;
  Flags is_copied_, is_needed_, is_output_, is_part_;
  std::vector<bool> is_member_;
  std::vector<uint32_t> first_group_;  // node -> its first group
  Kernels out_;
};

}  // namespace

StatusOr<Kernels> emit(const ir::Graph& graph, const std::vector<Group>& groups) {
  return Emitter(graph, groups).run();
}

}  // namespace moai::codegen
