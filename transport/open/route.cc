// The route line in front of every connection, and sockets handed from process to process.
#include <poll.h>

#include <array>
#include <cstring>

#include "src/base/bytes.h"
#include "transport/open/open.h"
#include "transport/socket_io.h"

namespace moai::transport {
namespace {

constexpr std::string_view kMagic = "moai/", kVersion = "moai/1 ";
constexpr size_t kFdTextMax = 4096;

std::string printable(std::string_view raw) {
  std::string text;
  for (char c : raw.substr(0, 24)) text += c >= ' ' && c <= '~' ? c : '.';
  return text;
}

// Whether what came so far can become a route line.
Status check_begin(std::string_view raw) {
  const std::string_view begin = raw.substr(0, kVersion.size());
  if (kVersion.starts_with(begin)) return {};
  if (begin.starts_with(kMagic))
    return {StatusCode::version_mismatch, "[transport] the peer speaks \"" + printable(begin) +
                                              "\", this side moai/1: use the same version"};
  return invalid("[transport] the peer does not speak moai: it began with \"" + printable(raw) +
                 "\"");
}

StatusOr<std::string> rest_of(std::string_view line) {
  MOAI_RETURN_IF_ERROR(check_begin(line));
  if (line.back() != '\n') return invalid("[transport] the peer's route line has no end");
  line.remove_suffix(1);
  line.remove_prefix(kVersion.size());
  const size_t end = line.find_last_not_of(' ');
  line = line.substr(0, end == line.npos ? 0 : end + 1);
  for (char c : line)
    if (c < ' ' || c > '~') return invalid("[transport] the peer's route line is not plain text");
  return std::string(line);
}

}  // namespace

std::string route_line(std::string_view rest) {
  std::string line(kVersion);
  line += rest.substr(0, kRouteBytes - 1 - kVersion.size());
  line.resize(kRouteBytes - 1, ' ');
  return line + '\n';
}

Status send_route(const Socket& s, std::string_view rest, Deadline d) {
  if (rest.size() > kRouteBytes - 1 - kVersion.size())
    return invalid("[transport] the route \"" + std::string(rest) + "\" is too long");
  MOAI_RETURN_IF_ERROR(make_nonblocking(s.fd()));
  const std::string line = route_line(rest);
  return send_all(s.fd(), std::as_bytes(std::span(line)), d);
}

StatusOr<std::string> peek_route(const Socket& s, Deadline d) {
  MOAI_RETURN_IF_ERROR(make_nonblocking(s.fd()));
  char raw[kRouteBytes];
  for (;;) {
    MOAI_ASSIGN_OR_RETURN(size_t n, peek(s.fd(), std::as_writable_bytes(std::span(raw)), d));
    if (n == 0) return unavailable("[transport] the peer left before it said what it wants");
    if (n == kRouteBytes) return rest_of({raw, n});
    MOAI_RETURN_IF_ERROR(check_begin({raw, n}));
    if (has_passed(d))
      return Status(StatusCode::deadline_exceeded, "[transport] the peer sent half a route line");
    ::poll(nullptr, 0, 1);  // the socket polls readable already; the rest is on its way
  }
}

StatusOr<std::string> take_route(const Socket& s, Deadline d) {
  MOAI_ASSIGN_OR_RETURN(std::string rest, peek_route(s, d));
  std::array<std::byte, kRouteBytes> line;
  MOAI_RETURN_IF_ERROR(receive_exactly(s.fd(), line, d));
  return rest;
}

// The packet: u32 length, text; the descriptor comes with its first byte.
Status send_fd(const Socket& s, int fd, std::string_view text) {
  if (text.size() > kFdTextMax)
    return invalid("[transport] the text beside a descriptor is too long");
  std::vector<std::byte> packet(4 + text.size());
  store_le(packet.data(), static_cast<uint32_t>(text.size()));
  if (!text.empty()) std::memcpy(packet.data() + 4, text.data(), text.size());
  return send_with_fds(s.fd(), packet, std::span(&fd, 1), in_seconds(2));
}

StatusOr<std::pair<Socket, std::string>> receive_fd(const Socket& s, Deadline d) {
  std::vector<Fd> fds;
  std::byte length[4];
  MOAI_RETURN_IF_ERROR(receive_with_fds(s.fd(), length, fds, d));
  const uint32_t n = load_le<uint32_t>(length);
  if (n > kFdTextMax) return invalid("[transport] the text beside a descriptor is too long");
  std::string text(n, '\0');
  MOAI_RETURN_IF_ERROR(receive_exactly(s.fd(), std::as_writable_bytes(std::span(text)), d));
  if (fds.size() != 1) return unavailable("[transport] no descriptor came over the socket");
  return std::pair(std::move(fds[0]), std::move(text));
}

}  // namespace moai::transport
