// Answers a status request (`moai smi`) on a connection of its own.
#pragma once
#include "src/wire/messages.h"
#include "transport/open/open.h"

namespace moai::engine {

// In a short thread, so that a slow asker holds nobody up; at most a few at a time.
void answer_status_in_background(transport::Socket socket, wire::StatusReply reply);

// Asks the server at an address. peer: what it said of itself, as far as it came.
StatusOr<wire::StatusReply> ask_status(const transport::Address& address, Deadline deadline,
                                       wire::Hello* peer = nullptr);

}  // namespace moai::engine
