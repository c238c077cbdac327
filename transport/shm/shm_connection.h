// A connection between two processes of one host: two rings in shared memory, and a unix socket
// that carries grants and whose end means that the peer is gone.
#pragma once
#include <memory>

#include "moai/transport.h"
#include "src/base/fd.h"

namespace moai::transport {

// Made by the server, passed to the client during the handshake.
struct ShmDescriptors {
  Fd memory;       // the rings
  Fd server_bell;  // eventfds: written to wake that side
  Fd client_bell;
};
StatusOr<ShmDescriptors> make_shm_descriptors();
// Whether what a peer sent can be what make_shm_descriptors() makes.
Status check_shm_descriptors(const ShmDescriptors&);

struct ShmOptions {
  bool is_server = false;
  bool has_crc = false;  // both ends the same; for tests, the memory is trusted to keep bits
  uint32_t generation = 0;
  PathInfo path;
};
// Takes over the connected unix socket.
StatusOr<std::unique_ptr<Connection>> make_shm_connection(Fd socket, ShmDescriptors, ShmOptions);

}  // namespace moai::transport
