// Segment -> plan: lower, then assemble. Prints what --dump asks for on the way.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sched/plan.h"
#include "src/wire/segment.h"

namespace moai::engine {

// --dump=graph,plan,kernel[:DIRECTORY]: readable text of every compiled segment, to a directory or
// stderr.
struct DumpOptions {
  bool graph = false, plan = false, kernel = false;
  std::string directory;
  bool any() const { return graph || plan || kernel; }
};
StatusOr<DumpOptions> parse_dump(std::string_view text);

StatusOr<sched::Plan> compile(const wire::Segment& segment, std::span<const uint32_t> live_out,
                              const DumpOptions& dump);

}  // namespace moai::engine
