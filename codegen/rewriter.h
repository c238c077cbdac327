// A graph being rebuilt node by node: equal nodes become one, and helpers make the nodes that rules
// want.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

class Rewriter {
 public:
  using ValueId = ir::ValueId;
  const ir::Graph& graph() const { return out_; }
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
  ValueId add(Prim op, const Attrs& attrs, std::vector<ValueId> operands,
              std::vector<ir::Type> results);

  ValueId constant(const ConstantAttrs& value, const ir::Type& type) {
    return add(Prim::constant, value, {}, {type});
  }
  ValueId number(double v, const ir::Type& type);
  ValueId pointwise(Prim op, std::vector<ValueId> operands);  // bool where the op gives truth
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
  uint64_t hash_of(Prim op, const Attrs& attrs, const std::vector<ValueId>& operands,
                   const std::vector<ir::Type>& results) const;
  ir::Graph out_;
  std::unordered_multimap<uint64_t, uint32_t> known_;  // hash -> node
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
