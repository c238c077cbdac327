#include "src/ir/verify.h"

#include <unordered_set>

#include "src/ir/infer.h"
#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

std::string name_of_value(ValueId v) { return "%" + std::to_string(index_of(v)); }

Status check_inputs(const Graph& g) {
  for (const Input& in : g.inputs()) {
    if (index_of(in.value) >= g.value_count() || g.def(in.value))
      return invalid("[graph] input " + name_of_value(in.value) + " is no value of its own");
    const Type& t = g.type(in.value);
    if (!is_sound(t)) return invalid("[graph] input of unsound type " + to_text(t));
    bool ok = in.kind == Input::Kind::storage      ? t.shape.rank() == 1
              : in.kind == Input::Kind::scalar_int ? t == Type{DType::i64, {}}
                                                   : t == Type{DType::f64, {}};
    if (!ok)
      return invalid("[graph] input " + name_of_value(in.value) + " has type " + to_text(t) +
                     "; a storage has rank 1, a lifted value is i64[] or f64[]");
  }
  return ok_status();
}

Status check_node(const Graph& g, const Node& node, std::vector<bool>& defined) {
  std::string subject = "[" + std::string(info(node.op).name) + "] ";
  std::vector<Type> operands;
  for (ValueId v : node.operands) {
    if (index_of(v) >= g.value_count() || !defined[index_of(v)])
      return invalid(subject + "operand " + name_of_value(v) + " is used before it is defined");
    operands.push_back(g.type(v));
  }
  if (node.results.size() != static_cast<size_t>(info(node.op).results))
    return invalid(subject + "has a wrong number of results");
  for (ValueId v : node.results)
    if (index_of(v) >= g.value_count()) return invalid(subject + "result is no value of the graph");
  MOAI_ASSIGN_OR_RETURN(std::vector<Type> types,
                        infer(node.op, node.attrs, operands, g.type(node.results[0])));
  for (size_t i = 0; i < types.size(); i++) {
    ValueId v = node.results[i];
    if (defined[index_of(v)]) return invalid(subject + name_of_value(v) + " is defined twice");
    defined[index_of(v)] = true;
    if (g.type(v) != types[i])
      return invalid(subject + "result " + name_of_value(v) + " is " + to_text(g.type(v)) +
                     ", should be " + to_text(types[i]));
  }
  return ok_status();
}

}  // namespace

Status verify(const Graph& g) {
  MOAI_RETURN_IF_ERROR(check_inputs(g));
  std::vector<bool> defined(g.value_count());
  for (const Input& in : g.inputs()) {
    if (defined[index_of(in.value)])
      return invalid("[graph] input " + name_of_value(in.value) + " is named twice");
    defined[index_of(in.value)] = true;
  }
  for (const Node& node : g.nodes()) MOAI_RETURN_IF_ERROR(check_node(g, node, defined));
  std::unordered_set<uint32_t> slots;
  for (const Output& out : g.outputs()) {
    if (index_of(out.value) >= g.value_count() || !defined[index_of(out.value)])
      return invalid("[graph] output " + std::to_string(out.slot) + " is no value of the graph");
    if (!slots.insert(out.slot).second)
      return invalid("[graph] slot " + std::to_string(out.slot) + " is written twice");
  }
  return ok_status();
}

}  // namespace moai::ir
