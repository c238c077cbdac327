// Hello, answer, and the choice of the path.
//
//   client -> server   hello: versions, schema, offers, opaque text
//   server -> client   answer: refused with a sentence; or text, generation, path (shm: with
//   descriptors) client -> server   confirm, if shm was chosen: whether the descriptors arrived and
//   are usable
// Without that confirmation both go on over the same socket with the stream framing.
#include <sys/random.h>

#include <cstring>

#include "src/base/bytes.h"
#include "transport/open/open.h"
#include "transport/shm/shm_connection.h"
#include "transport/shm/unix_socket.h"
#include "transport/socket_io.h"
#include "transport/tcp/endpoint.h"
#include "transport/tcp/stream_connection.h"

namespace moai::transport {
namespace {

constexpr uint64_t kMagic = 0x6F6C654869616F6Dull;  // "moaiHelo"
constexpr uint32_t kVersion = 1;

enum HelloFlag : uint32_t { kShm = 1, kSums = 2 };

struct Hello {
  uint32_t version = kVersion;
  uint64_t schema = 0;
  uint32_t flags = 0;
  uint32_t generation = 0;  // server: of the connection
  StatusCode refusal = StatusCode::ok;
  std::string text;  // opaque, or why it was refused
};
// u64 magic, u32 version, u32 text bytes, u64 schema, u32 flags, u32 generation, u32 refusal, u32
// zero.
constexpr size_t kHeadBytes = 40;

Status send_hello(int fd, const Hello& h, std::span<const int> fds, Deadline d) {
  if (h.text.size() > kHelloBytesMax - kHeadBytes)
    return invalid("[transport] the hello is longer than " + std::to_string(kHelloBytesMax) +
                   " bytes");
  std::vector<std::byte> raw(kHeadBytes + h.text.size());
  std::byte* p = raw.data();
  store_le(p, kMagic);
  store_le(p + 8, h.version);
  store_le(p + 12, static_cast<uint32_t>(h.text.size()));
  store_le(p + 16, h.schema);
  store_le(p + 24, h.flags);
  store_le(p + 28, h.generation);
  store_le(p + 32, static_cast<uint32_t>(h.refusal));
  if (!h.text.empty()) std::memcpy(p + kHeadBytes, h.text.data(), h.text.size());
  return send_with_fds(fd, raw, fds, d);
}

StatusOr<Hello> receive_hello(int fd, std::vector<Fd>& fds, Deadline d) {
  std::byte raw[kHeadBytes];
  // The magic alone first: a peer of another kind may send less than a whole head and wait.
  MOAI_RETURN_IF_ERROR(receive_with_fds(fd, std::span(raw).first(8), fds, d));
  if (load_le<uint64_t>(raw) != kMagic)
    return invalid("[transport] the peer does not speak moai: check the address");
  MOAI_RETURN_IF_ERROR(receive_with_fds(fd, std::span(raw).subspan(8), fds, d));
  Hello h;
  h.version = load_le<uint32_t>(raw + 8);
  const uint32_t bytes = load_le<uint32_t>(raw + 12);
  h.schema = load_le<uint64_t>(raw + 16);
  h.flags = load_le<uint32_t>(raw + 24);
  h.generation = load_le<uint32_t>(raw + 28);
  const uint32_t refusal = load_le<uint32_t>(raw + 32);
  if (bytes > kHelloBytesMax - kHeadBytes)
    return invalid("[transport] the peer's hello is longer than " + std::to_string(kHelloBytesMax) +
                   " bytes");
  h.refusal = refusal <= static_cast<uint32_t>(StatusCode::internal)
                  ? static_cast<StatusCode>(refusal)
                  : StatusCode::internal;
  h.text.resize(bytes);
  MOAI_RETURN_IF_ERROR(receive_with_fds(fd, std::as_writable_bytes(std::span(h.text)), fds, d));
  return h;
}

Status check_peer(const Hello& h, uint64_t schema) {
  if (h.version != kVersion)
    return {StatusCode::version_mismatch,
            "[transport] the peer's handshake has version " + std::to_string(h.version) +
                ", this side's " + std::to_string(kVersion) + ": use the same moai on both ends"};
  if (h.schema != schema)
    return {StatusCode::version_mismatch,
            "[transport] the peer's messages have another schema: use the same moai on both ends"};
  return {};
}

// Never 0. A guess is no danger: the number tells connections apart, it does not protect them.
uint32_t random_generation() {
  uint32_t g = 0;
  if (::getrandom(&g, sizeof g, GRND_NONBLOCK) != sizeof g) g = static_cast<uint32_t>(now_ns());
  return g == 0 ? 1 : g;
}

PathInfo stream_path(const Socket& s, std::string_view why_no_shm) {
  auto peer = peer_endpoint(s.fd());
  if (peer.ok()) return {"tcp", "tcp " + to_string(*peer) + ": reached by a tcp address"};
  return {"tcp", "stream over a unix socket: " + std::string(why_no_shm)};
}

StatusOr<Opened> finish_stream(Socket s, Hello peer, uint32_t generation,
                               std::string_view why_no_shm) {
  StreamOptions o{generation, stream_path(s, why_no_shm)};
  MOAI_ASSIGN_OR_RETURN(auto connection, make_stream_connection(std::move(s), std::move(o)));
  return Opened{std::move(connection), std::move(peer.text)};
}

StatusOr<Opened> finish_shm(Socket s, Hello peer, ShmDescriptors d, bool is_server,
                            uint32_t generation, bool has_crc) {
  ShmOptions o{is_server, has_crc, generation, {"shm", "shm, same host"}};
  MOAI_ASSIGN_OR_RETURN(auto connection,
                        make_shm_connection(std::move(s), std::move(d), std::move(o)));
  return Opened{std::move(connection), std::move(peer.text)};
}

// Why shm is out of question before anything was tried; empty: it is not.
std::string_view why_no_shm(const Socket& s, bool own_offer, bool peer_offer) {
  if (!is_unix_socket(s.fd())) return "not a unix socket";
  if (!own_offer) return "shared memory is switched off at this end";
  if (!peer_offer) return "shared memory is switched off at the other end";
  return {};
}

StatusOr<Opened> client_side(Socket s, const HandshakeOptions& o, Deadline d) {
  MOAI_RETURN_IF_ERROR(make_nonblocking(s.fd()));
  const bool may_share = o.offer_shm && is_unix_socket(s.fd());
  Hello own;
  own.schema = o.schema;
  own.flags = (may_share ? kShm : 0u) | (o.check_sums ? kSums : 0u);
  own.text = o.hello;
  MOAI_RETURN_IF_ERROR(send_hello(s.fd(), own, {}, d));

  std::vector<Fd> fds;
  MOAI_ASSIGN_OR_RETURN(Hello peer, receive_hello(s.fd(), fds, d));
  if (peer.refusal != StatusCode::ok) return Status(peer.refusal, std::move(peer.text));
  MOAI_RETURN_IF_ERROR(check_peer(peer, o.schema));
  const uint32_t generation = peer.generation;
  if (!may_share || !(peer.flags & kShm)) {
    const auto why = why_no_shm(s, o.offer_shm, false);
    return finish_stream(std::move(s), std::move(peer), generation, why);
  }

  Status usable = unavailable("descriptors do not pass over this socket");
  ShmDescriptors shared;
  if (fds.size() == 3) {
    shared = {std::move(fds[0]), std::move(fds[1]), std::move(fds[2])};
    usable = check_shm_descriptors(shared);
  }
  Hello confirm;
  confirm.schema = o.schema;
  confirm.flags = usable.ok() ? kShm : 0u;
  confirm.text = usable.message();
  MOAI_RETURN_IF_ERROR(send_hello(s.fd(), confirm, {}, d));
  if (!usable.ok())
    return finish_stream(std::move(s), std::move(peer), generation, usable.message());
  const bool has_crc = (peer.flags & kSums) != 0;
  return finish_shm(std::move(s), std::move(peer), std::move(shared), false, generation, has_crc);
}

// Tells the peer why before the caller hears of it; a peer that is gone cannot be told.
Status refuse(const Socket& s, Status why, Deadline d) {
  Hello answer;
  answer.refusal = why.code();
  answer.text = why.message();
  if (Status told = send_hello(s.fd(), answer, {}, d); !told.ok()) return why;
  return why;
}

StatusOr<Opened> server_side(Socket s, const HandshakeOptions& o, Deadline d) {
  MOAI_RETURN_IF_ERROR(make_nonblocking(s.fd()));
  std::vector<Fd> unwanted;  // no descriptor is taken before the first answer
  MOAI_ASSIGN_OR_RETURN(Hello peer, receive_hello(s.fd(), unwanted, d));
  if (Status ok = check_peer(peer, o.schema); !ok.ok()) return refuse(s, std::move(ok), d);

  std::string why(why_no_shm(s, o.offer_shm, (peer.flags & kShm) != 0));
  ShmDescriptors shared;
  if (why.empty()) {
    auto made = make_shm_descriptors();
    if (made.ok())
      shared = std::move(*made);
    else
      why = made.status().message();
  }
  const bool has_crc = o.check_sums && (peer.flags & kSums);
  Hello answer;
  answer.schema = o.schema;
  answer.flags = (why.empty() ? kShm : 0u) | (has_crc ? kSums : 0u);
  answer.generation = random_generation();
  answer.text = o.hello;
  const int fds[] = {shared.memory.fd(), shared.server_bell.fd(), shared.client_bell.fd()};
  MOAI_RETURN_IF_ERROR(send_hello(
      s.fd(), answer, why.empty() ? std::span<const int>(fds) : std::span<const int>(), d));
  if (!why.empty()) return finish_stream(std::move(s), std::move(peer), answer.generation, why);

  MOAI_ASSIGN_OR_RETURN(const Hello confirm, receive_hello(s.fd(), unwanted, d));
  if (!(confirm.flags & kShm)) {
    return finish_stream(std::move(s), std::move(peer), answer.generation, confirm.text);
  }
  return finish_shm(std::move(s), std::move(peer), std::move(shared), true, answer.generation,
                    has_crc);
}

}  // namespace

StatusOr<Opened> open_client(Socket s, const HandshakeOptions& o, Deadline d) {
  return client_side(std::move(s), o, d);
}

StatusOr<Opened> open_server(Socket s, const HandshakeOptions& o, Deadline d) {
  return server_side(std::move(s), o, d);
}

}  // namespace moai::transport
