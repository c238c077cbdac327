// `moai worker`: started by the supervisor only.
#include <memory>

#include "cli/commands.h"
#include "src/engine/worker.h"

namespace moai::cli {

void add_worker(CLI::App& app, int& status) {
  auto options = std::make_shared<engine::WorkerOptions>();
  CLI::App* command =
      app.add_subcommand("worker", "Serve one session; started by moai serve")->group("");
  command->add_option("--control-fd", options->control_fd)->required();
  command->add_option("--device", options->device);
  command->add_option("--device-memory", options->memory_bytes);
  command->add_option("--threads", options->threads);
  command->callback([options, &status] { status = engine::run_worker(*options); });
}

}  // namespace moai::cli
