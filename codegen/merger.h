// Finds the products that become one, and rebuilds the graph with them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "codegen/rewriter.h"

namespace moai::codegen {

// A product of two matrices without batch: which axis of each side is summed.
struct MatrixDot {
  ir::ValueId side[2];
  int contract[2];
};

// Whether n is such a product.
bool as_matrix_dot(const ir::Graph& g, const ir::Node& n, MatrixDot& out);

// Nodes that are made as one.
struct Unit {
  enum class Kind : uint8_t { siblings, sum } kind;
  std::vector<uint32_t>
      members;     // siblings: the products in the order of their rows; sum: products or reduces
  int shared = 0;  // siblings: the side that they have in common
  uint32_t root = UINT32_MAX;     // sum: the last addition
  std::vector<ir::ValueId> rest;  // sum: what else it adds
};

class Merger {
 public:
  using Graph = ir::Graph;
  using Node = ir::Node;
  using ValueId = ir::ValueId;

  explicit Merger(const Graph& g)
      : g_(g), uses_(g.value_count()), readers_(g.value_count(), kNone) {
    for (uint32_t i = 0; i < g.nodes().size(); i++)
      for (ValueId v : g.nodes()[i].operands) uses_[index_of(v)]++, readers_[index_of(v)] = i;
    for (const ir::Output& o : g.outputs()) uses_[index_of(o.value)] += 2;  // has to exist
  }

  // Whether there is anything to merge.
  bool find();
  Graph rebuild();

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr int64_t kRowsMax = 64;  // more are a product worth a kernel of its own

  struct Tree {
    uint32_t root;
    std::vector<uint32_t> members;
    std::vector<ValueId> rest;
  };

  uint32_t node_of(ValueId v) const {
    const Node* n = g_.def(v);
    return n ? static_cast<uint32_t>(n - g_.nodes().data()) : kNone;
  }
  bool is_addition(uint32_t i) const {
    const Node& n = g_.nodes()[i];
    DType t = g_.type(n.results[0]).dtype;
    return n.op == Prim::add && (t == DType::f32 || t == DType::f64);
  }
  ValueId below_transposes(ValueId v) const;

  // The product that is added as x: itself, or turned and turned back and widened on the way, as
  // gradients of weights in a narrow type are. kNone: none, or one that is read elsewhere.
  uint32_t product_of(ValueId x) const;
  // The tree of additions that ends in node i, if that is its root.
  void find_sum(uint32_t i);
  bool is_short(const MatrixDot& d) const {
    return g_.type(d.side[0]).shape[d.contract[0]] <= kRowsMax;
  }
  bool is_alike(const MatrixDot& a, const MatrixDot& b) const;

  using Order = std::vector<ValueId>;
  // The values under the transposes of one side, sorted: equal sets are joined in equal order.
  Order set_of(const std::vector<uint32_t>& members, size_t side) const;
  bool is_set(const Order& sorted) const {
    return std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
  }
  void sort_as(std::vector<uint32_t>& members, size_t side, const Order& order) const;
  void remember(const std::vector<uint32_t>& members, size_t side);

  void accept_dots(Tree& t);
  // Only where the join exists anyhow.
  void accept_reduces(const Tree& t);

  void find_siblings();
  // Joining inputs, the weights of several layers, would copy them in every step.
  bool is_made_here(ValueId v) const;
  // Members that wait for equally many others in a row do not wait for each other.
  std::map<int, std::vector<uint32_t>> by_level(const std::vector<uint32_t>& members) const;
  void accept_siblings(std::vector<uint32_t> members, int shared);

  // Whether all can be made: units may wait for each other.
  bool has_order();
  // The order in which nodes and units are made, as far as there is one; counts what the outputs
  // need in steps_.
  std::vector<uint32_t> plan();
  void mark_units(std::vector<uint32_t>& unit_of, std::vector<bool>& is_dropped) const;
  template <class F>
  void each_operand(uint32_t node, const std::vector<uint32_t>& unit_of, F&& f) const;

  void make(Rewriter& r, uint32_t node);
  void make_siblings(Rewriter& r, const Unit& u);
  void make_sum(Rewriter& r, const Unit& u);
  ValueId joined(Rewriter& r, const Unit& u, size_t side, int axis) const;

  const Graph& g_;
  std::vector<uint32_t> uses_, readers_;
  std::vector<Unit> units_;
  std::vector<Tree> reduce_trees_;
  std::map<Order, Order> orders_;
  size_t steps_ = 0;
  std::vector<ValueId> now_;
};

}  // namespace moai::codegen
