// `moai replay FILE`: runs a recording against this machine's device.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/trace_file.h"
#include "src/base/log.h"
#include "src/base/memory_text.h"
#include "src/engine/replay.h"

namespace moai::cli {

namespace {

int refuse(const Status& status, int exit_status) {
  log_error("replay: " + status.message());
  return exit_status;
}

int replay(const std::string& path, const std::string& memory, const std::string& threads,
           engine::ReplayOptions options) {
  StatusOr<uint64_t> bytes = device_memory_from(memory);
  if (!bytes.ok()) return refuse(bytes.status(), kExitUsage);
  options.memory_bytes = *bytes;
  StatusOr<int> thread_count = threads_from(threads);
  if (!thread_count.ok()) return refuse(thread_count.status(), kExitUsage);
  options.threads = *thread_count;
  if (!options.trace_path.empty())
    if (Status status = reopen_trace(options.trace_path); !status.ok())
      return refuse(status, kExitRefused);
  StatusOr<engine::ReplayResult> result = engine::replay(path, options);
  if (!options.trace_path.empty()) close_trace(options.trace_path);
  if (!result.ok()) {
    log_error(result.status().message());
    return result.status().code() == StatusCode::not_found ? kExitNotFound : kExitRefused;
  }
  for (const std::string& error : result->errors) log_warning("replay: " + error);
  std::printf(
      "messages        %llu\nsegments run    %llu\nplans built     %llu\nplanning        %.3f ms "
      "(%.1f us an operator)\ndevice busy     %.3f ms\n"
      "wall clock      %.3f ms\nread back       %s\nerrors          %zu\n",
      static_cast<unsigned long long>(result->messages),
      static_cast<unsigned long long>(result->segments_run),
      static_cast<unsigned long long>(result->plans_built),
      static_cast<double>(result->plan_ns) / 1e6,
      static_cast<double>(result->plan_ns) / 1e3 /
          static_cast<double>(std::max<uint64_t>(1, result->planned_ops)),
      static_cast<double>(result->busy_ns) / 1e6, static_cast<double>(result->wall_ns) / 1e6,
      format_bytes(result->bytes_read).c_str(), result->errors.size());
  return result->errors.empty() ? 0 : kExitRefused;
}

}  // namespace

void add_replay(CLI::App& app, int& status) {
  struct Arguments {
    std::string path, memory, threads;
    engine::ReplayOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("replay", "Run a recording of moai run --record against this machine");
  command->add_option("FILE", arguments->path, "The recording")->type_name("")->required();
  command
      ->add_option("--device-memory", arguments->memory,
                   "Memory of the device, as 256MiB or 4GiB (default: 80 % of what is free)")
      ->type_name("SIZE");
  command->add_option("--threads", arguments->threads, "Threads, 1 to 1024 (default: one a core)")
      ->type_name("N");
  command
      ->add_option("--trace", arguments->options.trace_path,
                   "Append spans to FILE, for chrome://tracing")
      ->type_name("FILE");
  command->callback([arguments, &status] {
    status = replay(arguments->path, arguments->memory, arguments->threads, arguments->options);
  });
}

}  // namespace moai::cli
