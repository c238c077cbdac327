// A pair of sockets between this process and a child.
#pragma once
#include <utility>

#include "transport/open/open.h"

namespace moai::transport {

// Two connected unix sockets, closed on exec.
StatusOr<std::pair<Socket, Socket>> socket_pair();

}  // namespace moai::transport
