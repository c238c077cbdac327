// A graph being rebuilt node by node: equal nodes become one, and helpers make the nodes that rules
// want.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

// Nodes by hash, with open addressing: one lookup a node is most of what a rebuild costs.
class NodeTable {
 public:
  void reserve(size_t nodes);
  // The first node with this hash that `is_equal` accepts; else `node` is added and returned.
  template <class Equal>
  uint32_t find_or_add(uint64_t hash, uint32_t node, Equal&& is_equal) {
    if (2 * (count_ + 1) > slots_.size()) grow(4 * (count_ + 16));
    size_t mask = slots_.size() - 1, at = hash & mask;
    for (; slots_[at].node != kFree; at = (at + 1) & mask)
      if (slots_[at].hash == hash && is_equal(slots_[at].node)) return slots_[at].node;
    slots_[at] = {hash, node};
    count_++;
    return node;
  }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  struct Slot {
    uint64_t hash = 0;
    uint32_t node = kFree;
  };
  void grow(size_t slots);
  std::vector<Slot> slots_;
  size_t count_ = 0;
};

class Rewriter {
 public:
  using ValueId = ir::ValueId;
  const ir::Graph& graph() const { return out_; }
  void reserve(size_t nodes) { out_.reserve(nodes), known_.reserve(nodes); }
  ir::Graph take() { return std::move(out_); }
  const ir::Type& type(ValueId v) const { return out_.type(v); }
  const Shape& shape(ValueId v) const { return out_.type(v).shape; }
  DType dtype(ValueId v) const { return out_.type(v).dtype; }
  const ir::Node* def(ValueId v) const { return out_.def(v); }

  ValueId add_input(ir::Input::Kind kind, uint32_t index, const ir::Type& type) {
    return out_.add_input(kind, index, type);
  }
  void set_output(uint32_t slot, ValueId v) { out_.set_output(slot, v); }
  // Nodes made from here on come from this op of the segment.
  void set_source(uint32_t source) { source_ = source; }
  // The first result of an equal node, or of a new one.
  ValueId add(Prim op, const Attrs& attrs, ir::ValueList operands,
              std::span<const ir::Type> results);
  ValueId add(Prim op, const Attrs& attrs, ir::ValueList operands,
              std::initializer_list<ir::Type> results) {
    return add(op, attrs, std::move(operands), std::span(results));
  }

  ValueId constant(const ConstantAttrs& value, const ir::Type& type) {
    return add(Prim::constant, value, {}, {type});
  }
  ValueId number(double v, const ir::Type& type);
  ValueId pointwise(Prim op, ir::ValueList operands);  // bool where the op gives truth
  ValueId convert(ValueId v, DType to);
  ValueId reshape(ValueId v, const Shape& shape);
  ValueId transpose(ValueId v, const Shape& dims);
  ValueId broadcast(ValueId v, const Shape& shape, const Shape& dims);
  ValueId reduce(ReduceKind kind, ValueId v, const Shape& axes);

  // The value of a constant node, else nullptr.
  const ConstantAttrs* as_constant(ValueId v) const;
  // Whether v is this number everywhere; 0.0 and -0.0 are told apart.
  bool is_number(ValueId v, double number) const;

 private:
  uint64_t hash_of(Prim op, const Attrs& attrs, const ir::ValueList& operands,
                   std::span<const ir::Type> results) const;
  ir::Graph out_;
  NodeTable known_;
  uint32_t source_ = UINT32_MAX;
};

// A value that the node, whose operands are already in the new graph, is equal to; none if it has
// to be made. Rules on shapes and constants (simplify_shape.cc), on arithmetic (simplify.cc), on
// reduces (reduces.cc).
ir::ValueId simplify_shape(Rewriter&, const ir::Node&, const ir::Type& result);
ir::ValueId simplify_pointwise(Rewriter&, const ir::Node&, const ir::Type& result);
ir::ValueId simplify_reduce(Rewriter&, const ir::Node&, const ir::Type& result);
// The constant that a pointwise op or convert of constants gives.
ir::ValueId fold_constants(Rewriter&, const ir::Node&, const ir::Type& result);

}  // namespace moai::codegen
