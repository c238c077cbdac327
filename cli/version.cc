// `moai version`
#include <cstdio>

#include "cli/commands.h"
#include "src/wire/messages.h"

namespace moai::cli {

void add_version(CLI::App& app, int& status) {
  app.add_subcommand("version", "Print the version and the protocol that it speaks")
      ->callback([&status] {
        std::printf("moai %s (protocol %u)\n", MOAI_VERSION, wire::kProtocolVersion);
        status = 0;
      });
}

}  // namespace moai::cli
