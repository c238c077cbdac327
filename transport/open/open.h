// The one place that names every transport: address text -> connection.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "moai/transport.h"
#include "src/base/fd.h"

namespace moai::transport {

// "unix:PATH", "unix:@NAME" (abstract), "tcp://HOST:PORT".
struct Address {
  enum class Kind { unix_path, unix_abstract, tcp } kind = Kind::unix_path;
  std::string text;  // path, name or host
  uint16_t port = 7780;
};
StatusOr<Address> parse_address(std::string_view url);
std::string to_string(const Address&);

// A listening or connected socket, closed with its owner.
using Socket = Fd;

// tcp: loopback only unless insecure_listen. Port 0: any free one, see local_address().
StatusOr<Socket> listen_on(const Address&, bool insecure_listen = false);
StatusOr<Socket> connect_to(const Address&, Deadline);
// The next connection of a listening socket.
StatusOr<Socket> accept_from(const Socket& listener, Deadline);
// Where a tcp socket is bound.
StatusOr<Address> local_address(const Socket&);

// The 64-byte cleartext route line that begins every connection: "moai/1 <rest>", blank-padded,
// newline last.
inline constexpr size_t kRouteBytes = 64;
std::string route_line(std::string_view rest);
Status send_route(const Socket&, std::string_view rest, Deadline);
// Looks at the route line without consuming it (MSG_PEEK).
StatusOr<std::string> peek_route(const Socket&, Deadline);
// Reads and checks it.
StatusOr<std::string> take_route(const Socket&, Deadline);

// Passes a descriptor over a unix socket with a short text.
Status send_fd(const Socket&, int fd, std::string_view text);
StatusOr<std::pair<Socket, std::string>> receive_fd(const Socket&, Deadline);
// uid of the process at the other end of a unix socket; nullopt-like not_found for tcp.
StatusOr<uint32_t> peer_uid(const Socket&);

struct HandshakeOptions {
  bool offer_shm = true;   // on unix sockets; used when passing the fd works
  std::string hello = {};  // opaque to transport: src/wire's Hello
  uint64_t schema = 0;     // of the messages; both ends must have the same
  bool check_sums =
      false;  // checksums on shm too (tcp always has them); used when both ends ask for it
};
struct Opened {
  std::unique_ptr<Connection> connection;
  std::string peer_hello;
};
// Both ends call it on a connected socket after the route line: exchanges hellos (at most 16 KiB,
// versions checked) and picks the path.
StatusOr<Opened> open_client(Socket, const HandshakeOptions&, Deadline);
StatusOr<Opened> open_server(Socket, const HandshakeOptions&, Deadline);

}  // namespace moai::transport
