// The ends of a file of spans. Between them processes append lines (src/base/trace.h); closed, it
// is JSON to every reader.
#pragma once
#include <string>

#include "moai/status.h"

namespace moai::cli {

// An empty list that lines can be appended to.
Status begin_trace(const std::string& path);
// Goes on with what a file has, closed or not; a new file where there is none.
Status reopen_trace(const std::string& path);
// At the end of the program. A process that it left behind goes on writing to a file without a
// name: the closed one is a copy. A file that is closed already stays as it is.
void close_trace(const std::string& path);

}  // namespace moai::cli
