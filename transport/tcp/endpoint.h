// TCP sockets: listening, connecting, names.
#pragma once
#include <cstdint>
#include <string>

#include "src/base/clock.h"
#include "src/base/fd.h"

namespace moai::transport {

struct TcpEndpoint {
  std::string host;
  uint16_t port = 0;
};

// Loopback hosts only, unless may_be_remote. Port 0: any free one.
StatusOr<Fd> listen_tcp(const TcpEndpoint&, bool may_be_remote);
StatusOr<Fd> connect_tcp(const TcpEndpoint&, Deadline);
// The next connection of any stream listener.
StatusOr<Fd> accept_stream(int listener, Deadline);
// Where a socket is bound, or connected to.
StatusOr<TcpEndpoint> local_endpoint(int fd);
StatusOr<TcpEndpoint> peer_endpoint(int fd);
std::string to_string(const TcpEndpoint&);
// No delay for small frames; a silent peer is given up after 5 s. No effect on other sockets.
void tune_tcp(int fd);

}  // namespace moai::transport
