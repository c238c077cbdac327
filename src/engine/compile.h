// Segment -> plan: lower, list the kernels, place them; or the kernels of other sizes of it,
// placed. Prints what --dump asks for on the way.
#pragma once
#include <string>
#include <string_view>

#include "moai/status.h"
#include "src/engine/plan_cache.h"

namespace moai::engine {

// --dump=graph,plan,kernel[:DIRECTORY]: readable text of every compiled segment, to a directory or
// stderr.
struct DumpOptions {
  bool graph = false, plan = false, kernel = false;
  std::string directory;
  bool any() const { return graph || plan || kernel; }
};
StatusOr<DumpOptions> parse_dump(std::string_view text);

// For one session. With a dump every segment is lowered: there is a graph to print.
Compiler make_compiler(DumpOptions dump);

}  // namespace moai::engine
