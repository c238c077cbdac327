// Sockets between processes of one host that no handshake precedes: accepting, and a pair for a child.
#pragma once
#include <utility>

#include "transport/open/open.h"

namespace moai::transport {

// The next waiting connection, or code `again` when there is none: never waits.
StatusOr<Socket> accept_on(const Socket& listener);

// Two connected unix sockets that keep the borders of messages; closed on exec.
StatusOr<std::pair<Socket, Socket>> socket_pair();

}  // namespace moai::transport
