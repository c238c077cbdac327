// What it costs to make a value anew where it is read.
#pragma once
#include <cstdint>
#include <vector>

#include "src/ir/graph.h"

namespace moai::codegen {

inline constexpr int kCheapWork = 12;  // a dropout mask: random numbers, a comparison, a scale

class NodeCosts {
 public:
  explicit NodeCosts(const ir::Graph&);
  int work(ir::ValueId v) const { return facts_[ir::index_of(v)].work; }
  bool is_heavy(ir::ValueId v) const { return facts_[ir::index_of(v)].is_heavy; }
  // Making it again costs less than writing and reading it.
  bool is_cheap(ir::ValueId v) const {
    const Facts& f = facts_[ir::index_of(v)];
    return !f.is_heavy && f.work <= kCheapWork && f.leaves <= 1;
  }
  // Row length of a reduce to one value a row that v is made of; 0 if none.
  int64_t row_size(ir::ValueId v) const { return facts_[ir::index_of(v)].row; }

 private:
  struct Facts {
    int16_t work = 0;    // operations from values in memory on, capped
    int16_t leaves = 0;  // tensors of about its own size that are read for it
    bool is_heavy = false;
    int64_t row = 0;
  };
  std::vector<Facts> facts_;
};

}  // namespace moai::codegen
