// The passes before fusion, in order.
#include "codegen/fuse.h"

namespace moai::codegen {

ir::Graph canonicalize(const ir::Graph& graph) { return graph; }

}  // namespace moai::codegen
