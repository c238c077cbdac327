// `moai run PROGRAM...`: runs a program with the accelerator in its PyTorch.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "cli/arguments.h"
#include "cli/bridge_path.h"
#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/stats.h"
#include "cli/stats_sum.h"
#include "cli/trace_file.h"
#include "cli/usage.h"
#include "src/base/log.h"
#include "src/base/stats_lines.h"
#include "transport/open/open.h"

namespace moai::cli {

namespace {

struct RunOptions {
  std::string server, stats_json, require, trace, record;
  std::optional<std::string> dump;
  EmbeddedOptions embedded;
  bool is_local = false, prints_stats = false;
  std::vector<std::string> program;
};

void set_environment(const char* name, const std::string& value) {
  ::setenv(name, value.c_str(), 1);
}

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal();
}

int refuse(const std::string& text, int status = kExitBeforeProgram) {
  log_error("run: " + text);
  return status;
}

// Every address of the list, before the program starts.
Status check_addresses(const std::string& servers) {
  std::istringstream stream(servers);
  for (std::string url; std::getline(stream, url, ',');)
    MOAI_RETURN_IF_ERROR(transport::parse_address(url).status());
  return ok_status();
}

// Paths are made whole, because server and program may have other working folders.
Status prepare_files(const RunOptions& options) {
  if (!options.trace.empty()) {
    std::string path = absolute(options.trace);
    MOAI_RETURN_IF_ERROR(begin_trace(path));
    set_environment("MOAI_TRACE", path);
  }
  if (!options.record.empty()) {
    std::string path = absolute(options.record);
    std::error_code error;
    std::filesystem::remove(path, error);
    if (!std::ofstream(path)) return invalid("--record: " + path + " cannot be written");
    std::filesystem::remove(path, error);
    set_environment("MOAI_RECORD", path);
    log_info("run: everything that the program sends, its data too, is recorded in " + path);
  }
  if (options.dump) {
    MOAI_ASSIGN_OR_RETURN(std::string dump, prepare_dump(*options.dump));
    set_environment("MOAI_DUMP", dump);
  }
  return ok_status();
}

Status prepare_python() {
  MOAI_ASSIGN_OR_RETURN(BridgePath bridge, find_bridge());
  const char* path = std::getenv("PYTHONPATH");
  set_environment("PYTHONPATH", bridge.python + (path && *path ? std::string(":") + path : ""));
  if (std::getenv("MOAI_BRIDGE") == nullptr) set_environment("MOAI_BRIDGE", bridge.modules);
  return ok_status();
}

// Where the program's processes tell what they counted; none if nobody asked for it.
StatusOr<std::optional<StatsFile>> prepare_stats(const RunOptions& options) {
  std::optional<StatsFile> file;
  if (!options.stats_json.empty() && !std::ofstream(options.stats_json))
    return invalid("--stats-json: " + absolute(options.stats_json) + " cannot be written");
  if (options.stats_json.empty() && !options.prints_stats) return file;
  MOAI_ASSIGN_OR_RETURN(file, StatsFile::make());
  set_environment(kStatsLinesVariable, file->path());
  return file;
}

void show_stats(const RunOptions& options, const StatsFile& file) {
  std::string stats = add_up_stats(file.read());
  if (options.prints_stats) std::fputs(format_stats(stats).c_str(), stderr);
  if (options.stats_json.empty()) return;
  if (!(std::ofstream(options.stats_json) << stats << std::flush))
    log_error("run: --stats-json: " + absolute(options.stats_json) + " cannot be written");
}

// Everything that can be seen to be wrong before anything starts.
Status check_values(const RunOptions& options, bool is_embedded) {
  // The embedded server reads the variable.
  const char* memory = std::getenv("MOAI_DEVICE_MEMORY");
  bool is_configured = options.embedded.memory.empty() && memory != nullptr && is_embedded;
  MOAI_RETURN_IF_ERROR(
      device_memory_from(is_configured ? memory : options.embedded.memory).status());
  MOAI_RETURN_IF_ERROR(threads_from(options.embedded.threads).status());
  MOAI_RETURN_IF_ERROR(check_require(options.require));
  if (options.dump) MOAI_RETURN_IF_ERROR(check_dump(*options.dump));
  if (is_embedded) return ok_status();
  std::string foreign;
  auto add = [&](const char* name, bool is_given) {
    if (is_given) foreign += (foreign.empty() ? "" : ", ") + std::string(name);
  };
  add("--device-memory", !options.embedded.memory.empty());
  add("--threads", !options.embedded.threads.empty());
  add("--dump", options.dump.has_value());
  add("--record", !options.record.empty());
  if (foreign.empty()) return ok_status();
  return invalid(foreign +
                 ": that belongs to `moai serve` (--dump and --record as MOAI_DUMP and "
                 "MOAI_RECORD in its environment); or add --local for an embedded server");
}

int run(const CLI::App& command, const RunOptions& options) {
  const char* configured = std::getenv("MOAI_SERVER");
  std::string server = !options.server.empty() ? options.server : configured ? configured : "";
  bool is_embedded = server.empty() || options.is_local;
  if (Status status = check_values(options, is_embedded); !status.ok())
    return refuse(status.message(), kExitUsage);
  if (!is_embedded)
    if (Status status = check_addresses(server); !status.ok())
      return refuse(status.message(), kExitUsage);
  if (options.program.empty())
    return refuse("name a program: moai run python train.py", kExitUsage);
  if (options.program[0][0] == '-')
    return refuse(no_such_option(command, options.program[0]), kExitUsage);
  if (Status status = prepare_files(options); !status.ok()) return refuse(status.message());
  EmbeddedServer embedded;
  if (is_embedded) {
    StatusOr<EmbeddedServer> started = start_embedded(options.embedded);
    if (!started.ok()) return refuse(started.status().message());
    embedded = std::move(*started);
    server = embedded.url;
  }
  set_environment("MOAI_SERVER", server);
  if (!options.require.empty()) set_environment("MOAI_REQUIRE", options.require);
  int status = kExitBeforeProgram;
  StatusOr<std::optional<StatsFile>> stats = prepare_stats(options);
  Status ready = stats.ok() ? prepare_python() : stats.status();
  if (ready.ok())
    status = run_program(options.program);
  else
    status = refuse(ready.message());
  if (is_embedded) end_embedded(embedded);
  if (!options.trace.empty()) close_trace(absolute(options.trace));
  if (ready.ok() && *stats) show_stats(options, **stats);
  return status;
}

}  // namespace

void add_run(CLI::App& app, int& status) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      app.add_subcommand("run", "Run a program with the accelerator: moai run python train.py");
  command
      ->add_option(
          "--server", options->server,
          "Address of the server, unix:PATH, unix:@NAME or tcp://HOST:PORT; several with commas\n"
          "(default: MOAI_SERVER, else an embedded one)")
      ->type_name("URL");
  command->add_flag("--local", options->is_local,
                    "Use an embedded server even if one is configured");
  command
      ->add_option("--device-memory", options->embedded.memory,
                   "Memory of the embedded server, as 256MiB or 4GiB\n"
                   "(default: MOAI_DEVICE_MEMORY, else 80 % of what is free)")
      ->type_name("SIZE");
  command
      ->add_option("--threads", options->embedded.threads,
                   "Threads of the embedded server, 1 to 1024 (default: one a core)")
      ->type_name("N");
  command->add_flag("--stats", options->prints_stats,
                    "Print what was sent, waited for and computed at the end");
  command->add_option("--stats-json", options->stats_json, "Write the same to FILE as JSON")
      ->type_name("FILE");
  command
      ->add_option("--require", options->require,
                   "no-fallback: an operator that only the client can run is an error")
      ->type_name("WORD");
  command
      ->add_option("--dump", options->dump,
                   "Print each segment as graph, plan, kernel (several with commas); "
                   "WHAT:FOLDER for files")
      ->type_name("WHAT");
  command->add_option("--trace", options->trace, "Write spans to FILE, for chrome://tracing")
      ->type_name("FILE");
  command
      ->add_option("--record", options->record,
                   "Record what the program sends to FILE, for moai replay")
      ->type_name("FILE");
  command->prefix_command();
  command->footer("Everything from the program's name on is the program's.");
  command->callback([command, options, &status] {
    options->program = command->remaining();
    status = run(*command, *options);
  });
}

}  // namespace moai::cli
