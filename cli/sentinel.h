// Tells whether a signal went to the whole process group or to this process alone.
//
// The kernel does not say. So a small process waits in the same group: what it receives as well,
// everybody in the group received, the program too, and must not get a second time.
#pragma once
#include <sys/types.h>

#include "src/base/fd.h"

namespace moai::cli {

class Sentinel {
 public:
  // Starts it; without one, signals count as sent to this process alone.
  Sentinel();
  ~Sentinel();
  Sentinel(const Sentinel&) = delete;
  Sentinel& operator=(const Sentinel&) = delete;

  // Whether the sentinel received the signal too; waits a moment for its word.
  bool has_seen(int signal);

 private:
  pid_t pid_ = -1;
  Fd seen_;
};

}  // namespace moai::cli
