// Text of a program from a peer or a cache -> graph: refuse, or make a sound graph that prints and
// parses to itself. What it holds is bounded by the length of the text.
#include <cstdlib>
#include <string>

#include "src/ir/text.h"
#include "src/ir/verify.h"

using namespace moai;

namespace {

// A value takes four characters at least, an operand or a result two, an output line more.
void check_bound(const ir::Graph& graph, size_t bytes) {
  size_t elements = graph.value_count() * 4 + graph.outputs().size() * 8;
  for (const ir::Node& node : graph.nodes()) elements += node.operands.size() * 2;
  if (elements > bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  StatusOr<ir::Graph> graph = ir::parse({reinterpret_cast<const char*>(data), size});
  if (!graph.ok()) return 0;
  check_bound(*graph, size);
  if (!ir::verify(*graph).ok()) std::abort();
  std::string text = ir::print(*graph);
  StatusOr<ir::Graph> again = ir::parse(text);
  if (!again.ok() || ir::print(*again) != text) std::abort();
  return 0;
}
