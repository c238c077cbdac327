// Compiles a graph, runs it on the reference device and compares with the evaluator.
#pragma once
#include <string>
#include <vector>

#include "sched/plan.h"
#include "src/ir/eval.h"
#include "src/ir/graph.h"

namespace moai::test {

// Inputs with values around 0 (integers: 0 to 6), the same for the same seed.
std::vector<ir::Tensor> random_inputs(const ir::Graph& graph, uint64_t seed);

// Runs the graph's plan; storages that are read and written share a block. Results per graph
// output.
StatusOr<std::vector<ir::Tensor>> run_plan(const ir::Graph& graph, const sched::Plan& plan,
                                           const std::vector<ir::Tensor>& inputs);

// "" when the plan gives what eval() gives, else what differs. tolerance: relative and absolute.
std::string compare(const ir::Graph& graph, const sched::Plan& plan, double tolerance,
                    uint64_t seed = 1);
// Likewise of the graph's own plan.
std::string compare(const ir::Graph& graph, double tolerance, uint64_t seed = 1);

// Commands of the compiled graph; -1 when it does not compile.
int kernel_count(const ir::Graph& graph);

}  // namespace moai::test
