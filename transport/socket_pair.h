// A pair of sockets between this process and a child.
#pragma once
#include <utility>

#include "src/base/fd.h"

namespace moai::transport {

// Two connected unix sockets, closed on exec.
StatusOr<std::pair<Fd, Fd>> socket_pair();

}  // namespace moai::transport
