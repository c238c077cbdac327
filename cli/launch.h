// Starts what `moai run` needs: the embedded server and the program, and passes signals and status
// on.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "moai/status.h"
#include "transport/open/open.h"

namespace moai::cli {

struct EmbeddedServer {
  std::string url;  // unix:@...
  pid_t pid = 0;
  transport::Socket alive;  // closing it ends the server once its last session closed
};
struct EmbeddedOptions {
  std::string memory, threads;  // as given on the command line; empty: default
};
StatusOr<EmbeddedServer> start_embedded(const EmbeddedOptions& options);
// Lets it end; waits a little, so that nothing of a finished run is left behind.
void end_embedded(EmbeddedServer& server);

// Runs the words with this process's environment. Returns the program's status, 128 + n after
// signal n, 126 or 127 when it cannot be started. Signals that a process sent here are passed on;
// those of the terminal reach the program by themselves.
int run_program(const std::vector<std::string>& words);

}  // namespace moai::cli
