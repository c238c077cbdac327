// The one binary: `moai COMMAND`, or a link to it named after a command.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/usage.h"

namespace {

// `moreh-smi -i 0` is `moai smi -i 0`, and `moai help run` is `moai run --help`. CLI11 takes the
// words last first.
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words;
  const char* slash = std::strrchr(argv[0], '/');
  const char* name = slash ? slash + 1 : argv[0];
  if (std::strcmp(name, "moreh-smi") == 0) words.push_back("smi");
  if (std::strcmp(name, "update-moreh") == 0) words.push_back("update");
  words.insert(words.end(), argv + 1, argv + argc);
  if (!words.empty() && words[0] == "help") {
    words[0] = "--help";
    std::rotate(words.begin(), words.begin() + 1, words.end());
  }
  return {words.rbegin(), words.rend()};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"moai makes a farm of GPU nodes look like one accelerator to a PyTorch program.",
               "moai"};
  app.formatter(std::make_shared<moai::cli::HelpFormatter>());
  app.require_subcommand(1);
  app.set_version_flag("--version", MOAI_VERSION, "Print the version and exit");
  int status = 0;
  using namespace moai::cli;
  for (auto add : {add_run, add_serve, add_smi, add_doctor, add_replay, add_cache, add_update,
                   add_version, add_worker})
    add(app, status);
  for (CLI::App* command : app.get_subcommands({}))
    if (!command->get_group().empty()) command->group("Commands");
  app.footer("A first try: moai run python train.py. What a command takes: moai COMMAND --help");
  const std::vector<std::string> words = words_of(argc, argv);
  try {
    app.parse(std::vector<std::string>(words));
  } catch (const CLI::ParseError& error) {
    return report(app, error, words);
  }
  return status;
}
