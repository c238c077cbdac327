// Greedy fusion in one walk from the last node to the first. A node sees all its readers placed; it
// joins the one that runs first, is made anew in each when that is cheap, or opens a kernel that
// runs before all of them. So whatever a kernel reads is made by itself or by a kernel opened later
// in the walk, which runs earlier: no cycle can arise and none has to be looked for.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "codegen/fuse.h"
#include "codegen/index_map.h"
#include "codegen/node_cost.h"
#include "codegen/node_info.h"

namespace moai::codegen {

class Fuser {
 public:
  explicit Fuser(const ir::Graph& g)
      : g_(g),
        costs_(g),
        head_(g.value_count(), kNone),
        is_copied_(g.value_count()),
        is_output_(g.value_count()) {}

  std::vector<Group> run();

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kInMemory = UINT32_MAX;  // a use that reads the value where it lies

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

  void mark_output(ir::ValueId v);
  // A transposed matrix that several products of few rows read is turned over once: each of them
  // reads its rows where they lie, and would otherwise pack all of it.
  void copy_transposed_weights();
  bool is_view_value(ir::ValueId v) const {
    const ir::Node* n = g_.def(v);
    return n && class_of(g_, *n) == NodeClass::view;
  }

  void add_use(ir::ValueId v, uint32_t group, uint32_t map);
  void read_in_memory(ir::ValueId v, uint32_t group);
  uint32_t open(uint32_t node, TileKind kind, const Shape& space);

  // Group `id` reads v at `map`: views fold, the rest is a use that v's node will see.
  void request(uint32_t id, ir::ValueId v, IndexMap map);
  void request_generator(uint32_t id, ir::ValueId v, const ir::Node& n, IndexMap map);
  void request_whole(uint32_t id, ir::ValueId v);
  Demand demand(ir::ValueId v) const;

  template <class F>
  void each_map(ir::ValueId v, uint32_t group, F&& f) const {
    for (uint32_t u = head_[index_of(v)]; u != kNone; u = uses_[u].next)
      if (uses_[u].group == group) f(uses_[u].map);
  }

  bool has_room(uint32_t id, const ir::Node& n) const;

  // The kernel becomes a row program with rows of `size`.
  bool make_row(uint32_t id, int64_t size);
  // A value per row that hangs on a reduce over such rows: its kernel should be a row program.
  bool follow_row(ir::ValueId v, uint32_t id);
  bool can_inline(ir::ValueId v, const ir::Node& n, uint32_t id);
  bool is_per_row(ir::ValueId v, uint32_t id);

  // Whether the kernel can store v as it goes: it meets every element once, in v's own order.
  bool can_host(ir::ValueId v, const ir::Node& n, uint32_t id);
  void join(uint32_t node, uint32_t id);
  void visit(uint32_t node);
  void place_view(uint32_t node, const ir::Node& n);
  void place_alone(uint32_t node, const ir::Node& n);
  void place_pointwise(uint32_t node, const ir::Node& n);

  // A kernel that reads an operand of n in n's own order, and runs before every reader of n: it
  // makes n too, so that the operand is read once, or never leaves the kernel.
  uint32_t sibling_of(const ir::Node& n, const Demand& d);
  bool inline_everywhere(uint32_t node, const ir::Node& n);
  void place_reduce(uint32_t node, const ir::Node& n);

  // The kernel of a row reduce's first reader, when it can take the reduce in.
  uint32_t row_for(const ir::Node& n, const ReduceForm& form, const Demand& d);

  // A column program over the same operand shape that runs before every reader, so that both share
  // a pass.
  uint32_t column_for(const ir::Node& n, const ReduceForm& form, const Demand& d);
  bool shares_operand(ir::ValueId v, uint32_t id) const;
  ir::ValueId below_reshapes(ir::ValueId v) const;
  // A 0-dim value below its views, all of which are free.
  ir::ValueId below_views(ir::ValueId v) const;
  bool is_generator(ir::ValueId v) const {
    const ir::Node* n = g_.def(v);
    return n && class_of(g_, *n) == NodeClass::generator;
  }
  static std::array<int64_t, 3> key_of(const ReduceForm& f) {
    return {f.space[0], f.space[1], f.space[2]};
  }

  void place_move(uint32_t node, const ir::Node& n);
  void request_padded(uint32_t id, const ir::Node& n, const Shape& space);

  // A part of a concat that is not one kernel: made in its place, or copied over a space of its
  // own.
  void request_part(uint32_t id, const ir::Node& n, size_t i);
  void place_library(uint32_t node, const ir::Node& n);

  const ir::Graph& g_;
  NodeCosts costs_;
  std::vector<uint32_t> head_;  // per value: its last use, or kNone
  std::vector<Use> uses_;
  Flags is_copied_, is_output_;
  std::vector<Open> open_;  // in the order they were opened: the last one runs first
  std::map<std::array<int64_t, 3>, uint32_t> columns_;
};

}  // namespace moai::codegen
