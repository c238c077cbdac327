// The op graph: SSA values of static shape, primitives of moai/ops.def, one segment a graph.
#pragma once
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "moai/dtype.h"
#include "moai/op.h"
#include "moai/op_attrs.h"
#include "moai/shape.h"
#include "moai/status.h"
#include "src/ir/value_list.h"

namespace moai::ir {

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type&) const = default;
  uint64_t bytes() const { return static_cast<uint64_t>(shape.numel()) * size_of(dtype); }
};

struct Node {
  Prim op = Prim::add;
  Attrs attrs;
  ValueList operands;
  ValueList results;             // consecutive ids
  uint32_t source = UINT32_MAX;  // op of the segment it came from, for messages
  bool operator==(const Node&) const = default;
};

// What an input is bound to when the graph runs.
struct Input {
  enum class Kind : uint8_t {
    storage,      // rank 1: `bytes / size_of(dtype)` elements of storage slot `index`
    scalar_int,   // 0-dim i64: lifted value `index`
    scalar_real,  // 0-dim f64: lifted value `index`
  } kind = Kind::storage;
  uint32_t index = 0;
  ValueId value = ValueId::none;
  bool operator==(const Input&) const = default;
};

// The new contents of a storage slot: any shape; its row-major elements are the storage's bytes
// from the start. A storage larger than the value keeps nothing behind it that anyone reads.
struct Output {
  uint32_t slot = 0;
  ValueId value = ValueId::none;
  bool operator==(const Output&) const = default;
};

class Graph {
 public:
  const std::vector<Node>& nodes() const { return nodes_; }
  const Type& type(ValueId v) const { return types_[index_of(v)]; }
  size_t value_count() const { return types_.size(); }
  // The node that makes v; nullptr for inputs.
  const Node* def(ValueId v) const {
    uint32_t n = defs_[index_of(v)];
    return n == UINT32_MAX ? nullptr : &nodes_[n];
  }
  const std::vector<Input>& inputs() const { return inputs_; }
  const std::vector<Output>& outputs() const { return outputs_; }

  void reserve(size_t nodes) { nodes_.reserve(nodes), defs_.reserve(nodes); }
  ValueId add_input(Input::Kind kind, uint32_t index, Type type);
  // Appends a node; result types come from infer(). Returns the first result.
  StatusOr<ValueId> add_node(Prim op, Attrs attrs, ValueList operands, Type hint = {},
                             uint32_t source = UINT32_MAX);
  // Trusts the types: for parse and passes that keep them; verify() checks.
  ValueId append(Prim op, Attrs attrs, ValueList operands, std::span<const Type> results,
                 uint32_t source = UINT32_MAX);
  ValueId append(Prim op, Attrs attrs, ValueList operands, std::initializer_list<Type> results,
                 uint32_t source = UINT32_MAX) {
    return append(op, std::move(attrs), std::move(operands), std::span(results), source);
  }
  void set_output(uint32_t slot, ValueId v) { outputs_.push_back({slot, v}); }

  bool operator==(const Graph&) const = default;

 private:
  std::vector<Node> nodes_;
  std::deque<Type> types_;      // so that type() stays valid while the graph grows
  std::vector<uint32_t> defs_;  // node index or UINT32_MAX
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;
};

}  // namespace moai::ir
