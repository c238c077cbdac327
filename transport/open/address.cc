// Address text, and the sockets behind it.
#include <charconv>

#include "transport/open/open.h"
#include "transport/shm/unix_socket.h"
#include "transport/tcp/endpoint.h"

namespace moai::transport {
namespace {

Status bad_address(std::string_view url) {
  return invalid("[transport] \"" + std::string(url) +
                 "\" is no address: write unix:PATH, unix:@NAME or tcp://HOST:PORT");
}

bool is_unix(const Address& a) { return a.kind != Address::Kind::tcp; }
UnixAddress unix_of(const Address& a) { return {a.text, a.kind == Address::Kind::unix_abstract}; }

}  // namespace

StatusOr<Address> parse_address(std::string_view url) {
  Address a;
  std::string_view rest = url;
  if (rest.starts_with("unix:")) {
    rest.remove_prefix(5);
    if (rest.starts_with("@")) {
      a.kind = Address::Kind::unix_abstract;
      rest.remove_prefix(1);
    }
    if (rest.empty() || rest.find('\0') != rest.npos) return bad_address(url);
    a.text = rest;
    return a;
  }
  if (!rest.starts_with("tcp://")) return bad_address(url);
  rest.remove_prefix(6);
  a.kind = Address::Kind::tcp;
  std::string_view port;
  if (rest.starts_with("[")) {  // an IPv6 number
    const size_t end = rest.find(']');
    if (end == rest.npos) return bad_address(url);
    a.text = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest[0] != ':') return bad_address(url);
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return bad_address(url);
  } else {
    const size_t colon = rest.find(':');
    a.text = rest.substr(0, colon);
    if (colon != rest.npos) {
      port = rest.substr(colon + 1);
      if (port.empty()) return bad_address(url);
    }
  }
  if (a.text.empty() || a.text.find('/') != a.text.npos) return bad_address(url);
  if (!port.empty()) {
    auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), a.port);
    if (error != std::errc() || end != port.data() + port.size()) return bad_address(url);
  }
  return a;
}

std::string to_string(const Address& a) {
  switch (a.kind) {
    case Address::Kind::unix_path: return "unix:" + a.text;
    case Address::Kind::unix_abstract: return "unix:@" + a.text;
    case Address::Kind::tcp: return "tcp://" + to_string(TcpEndpoint{a.text, a.port});
  }
  return {};
}

StatusOr<Socket> listen_on(const Address& a, bool insecure_listen) {
  return is_unix(a) ? listen_unix(unix_of(a)) : listen_tcp({a.text, a.port}, insecure_listen);
}

StatusOr<Socket> connect_to(const Address& a, Deadline d) {
  return is_unix(a) ? connect_unix(unix_of(a), d) : connect_tcp({a.text, a.port}, d);
}

StatusOr<Socket> accept_from(const Socket& listener, Deadline d) {
  return accept_stream(listener.fd(), d);
}

StatusOr<Address> local_address(const Socket& s) {
  MOAI_ASSIGN_OR_RETURN(TcpEndpoint e, local_endpoint(s.fd()));
  return Address{Address::Kind::tcp, e.host, e.port};
}

StatusOr<uint32_t> peer_uid(const Socket& s) { return unix_peer_uid(s.fd()); }

}  // namespace moai::transport
