// `moai update`, also as `update-moreh`: puts the bridge into an environment, for runs without
// `moai run`.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "cli/carried_bridge.h"
#include "cli/commands.h"
#include "cli/doctor_python.h"
#include "src/base/log.h"

namespace moai::cli {

namespace {

int refuse(const std::string& text) {
  log_error("update: " + text);
  return kExitRefused;
}

int link_bridge(const std::string& named_python) {
  const Finding torch = check_torch(named_python);
  if (torch.grade != Grade::ok) return refuse(torch.text + "; " + torch.advice);
  if (carried_files().empty())
    return refuse("this moai was built without a PyTorch bridge; build it with -Dfrontend=enabled");
  const PythonChoice python = choose_python(named_python);
  std::string folder;
  if (!run_python(python.program, "import sysconfig; print(sysconfig.get_path(\"purelib\"))",
                  folder) ||
      folder.empty())
    return refuse(python.program + " does not say where its packages are");
  if (Status status = write_carried_files(folder); !status.ok())
    return refuse(status.message() + "; use a virtual environment of your own");
  std::printf(
      "%s\nThe bridge is in %s. Programs use the accelerator with MOAI_SERVER=URL in their "
      "environment, "
      "or under `moai run`.\n",
      torch.text.c_str(), folder.c_str());
  return 0;
}

}  // namespace

void add_update(CLI::App& app, int& status) {
  struct Options {
    std::string python;
    bool is_forced = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "update",
      "Put the bridge into an environment again: after its PyTorch was replaced, or for\n"
      "runs without `moai run`");
  command->add_flag("--force", options->is_forced, "Do so, whatever is there");
  command
      ->add_option(
          "--python", options->python,
          "The Python of the environment\n(default: that of VIRTUAL_ENV, else of ./.venv, else "
          "python3 of PATH)")
      ->type_name("PROGRAM");
  command->callback([options, &status] {
    if (options->is_forced) {
      status = link_bridge(options->python);
      return;
    }
    std::printf(
        "Already installed : %s\n`moai update --force` puts its bridge into the environment "
        "again.\n",
        MOAI_VERSION);
    status = 0;
  });
}

}  // namespace moai::cli
