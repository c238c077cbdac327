#include "src/ir/graph.h"

#include "src/ir/infer.h"

namespace moai::ir {

ValueId Graph::add_input(Input::Kind kind, uint32_t index, Type type) {
  ValueId v{static_cast<uint32_t>(types_.size())};
  types_.push_back(type);
  defs_.push_back(UINT32_MAX);
  inputs_.push_back({kind, index, v});
  return v;
}

StatusOr<ValueId> Graph::add_node(Prim op, Attrs attrs, ValueList operands, Type hint,
                                  uint32_t source) {
  std::vector<Type> types;
  types.reserve(operands.size());
  for (ValueId v : operands) {
    if (index_of(v) >= types_.size())
      return invalid("[" + std::string(info(op).name) + "] an operand is no value of the graph");
    types.push_back(type(v));
  }
  MOAI_ASSIGN_OR_RETURN(std::vector<Type> results, infer(op, attrs, types, hint));
  return append(op, std::move(attrs), std::move(operands), results, source);
}

ValueId Graph::append(Prim op, Attrs attrs, ValueList operands, std::span<const Type> results,
                      uint32_t source) {
  Node& node = nodes_.emplace_back(op, std::move(attrs), std::move(operands), ValueList{}, source);
  ValueId first{static_cast<uint32_t>(types_.size())};
  for (const Type& t : results) {
    node.results.push_back(ValueId{static_cast<uint32_t>(types_.size())});
    types_.push_back(t);
    defs_.push_back(static_cast<uint32_t>(nodes_.size() - 1));
  }
  return first;
}

}  // namespace moai::ir
