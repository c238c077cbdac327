// The reference evaluator: slow, scalar, obviously right. The oracle of every device and lowering.
#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include "src/ir/graph.h"

namespace moai::ir {

// Elements in row-major order, as they are stored.
struct Tensor {
  Type type;
  std::vector<std::byte> data;
};

// inputs: one per graph input, in order. Returns one tensor per graph output, in order. Sums in
// f64.
StatusOr<std::vector<Tensor>> eval(const Graph&, std::span<const Tensor> inputs);

// Access to an element as double or int64, whatever the dtype.
double get_real(const Tensor&, int64_t i);
int64_t get_int(const Tensor&, int64_t i);
void set_real(Tensor&, int64_t i, double v);
void set_int(Tensor&, int64_t i, int64_t v);

}  // namespace moai::ir
