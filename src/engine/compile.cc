#include "src/engine/compile.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "src/base/log.h"
#include "src/engine/kernel_list.h"
#include "src/engine/plan_families.h"
#include "src/engine/program_text.h"
#include "src/ir/text.h"
#include "src/ir/verify.h"
#include "src/lower/lower.h"

namespace moai::engine {

namespace {

void write_dump(const DumpOptions& dump, const wire::Segment& segment, const char* what,
                const std::string& text) {
  char name[64];
  std::snprintf(name, sizeof name, "segment-%016llx.%s.txt",
                static_cast<unsigned long long>(segment.id.hi), what);
  if (dump.directory.empty()) {
    std::fprintf(stderr, "== %s\n%s\n", name, text.c_str());
    return;
  }
  std::string path = dump.directory + "/" + name;
  if (FILE* file = std::fopen(path.c_str(), "w")) {
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  } else {
    log_warning("--dump: " + path + " cannot be written; name a directory that exists");
  }
}

StatusOr<sched::Plan> compile(const wire::Segment& segment, std::span<const uint32_t> live_out,
                              const DumpOptions& dump, PlanFamilies& families) {
  const auto list = [&](const wire::Segment& s) -> StatusOr<KernelList> {
    MOAI_ASSIGN_OR_RETURN(ir::Graph graph, lower::lower(s, live_out));
#ifdef MOAI_VERIFY_GRAPHS
    MOAI_RETURN_IF_ERROR(ir::verify(graph));
#endif
    if (dump.graph) write_dump(dump, s, "graph", ir::print(graph));
    return list_kernels(graph);
  };
  if (!dump.any()) {
    if (std::optional<KernelList> kernels = families.find(segment, live_out, list)) {
#ifdef MOAI_VERIFY_GRAPHS
      MOAI_ASSIGN_OR_RETURN(KernelList expected, list(segment));
      if (differ_in_numbers(*kernels, std::move(expected)))
        return internal_error("[plan] kernels worked out from other sizes have wrong numbers");
#endif
      MOAI_ASSIGN_OR_RETURN(sched::Plan plan, place(*std::move(kernels)));
      plan.is_resized = true;
      return plan;
    }
  }
  MOAI_ASSIGN_OR_RETURN(KernelList kernels, list(segment));
  MOAI_ASSIGN_OR_RETURN(sched::Plan plan, place(std::move(kernels)));
  if (dump.plan) write_dump(dump, segment, "plan", sched::print(plan));
  if (dump.kernel)
    for (const sched::RankProgram& program : plan.programs)
      write_dump(dump, segment, "kernel", print_kernels(program.program));
  return plan;
}

}  // namespace

StatusOr<DumpOptions> parse_dump(std::string_view text) {
  DumpOptions dump;
  if (size_t colon = text.find(':'); colon != std::string_view::npos) {
    dump.directory = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (word == "graph")
      dump.graph = true;
    else if (word == "plan")
      dump.plan = true;
    else if (word == "kernel")
      dump.kernel = true;
    else
      return invalid("--dump: \"" + std::string(word) + "\" is not one of graph, plan, kernel");
  }
  return dump;
}

Compiler make_compiler(DumpOptions dump) {
  return [dump = std::move(dump), families = std::make_shared<PlanFamilies>()](
             const wire::Segment& segment, std::span<const uint32_t> live_out) {
    return compile(segment, live_out, dump, *families);
  };
}

}  // namespace moai::engine
