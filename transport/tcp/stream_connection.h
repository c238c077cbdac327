// A connection over a byte stream (tcp, or a unix socket without shared memory): frames back to
// back, each with a checksum; window accesses are control frames that land in the region directly.
#pragma once
#include <memory>

#include "moai/transport.h"
#include "src/base/fd.h"

namespace moai::transport {

struct StreamOptions {
  uint32_t generation = 0;
  PathInfo path;
};
// Takes over a connected stream socket.
StatusOr<std::unique_ptr<Connection>> make_stream_connection(Fd socket, StreamOptions);

}  // namespace moai::transport
