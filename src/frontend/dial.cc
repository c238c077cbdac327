// The list of servers, tries, hello.
#include "src/frontend/dial.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/clock.h"
#include "transport/open/open.h"

namespace moai::frontend {
namespace {

constexpr int kTries = 3;
constexpr double kPauseSeconds[kTries] = {0, 0.25, 1};
// One connect or handshake: short, so that the others on the list get their turn.
constexpr double kConnectSeconds = 1.5, kHandshakeSeconds = 10;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> urls;
  for (size_t at = 0; at <= list.size();) {
    size_t end = std::min(list.find(',', at), list.size());
    std::string url = list.substr(at, end - at);
    url.erase(0, url.find_first_not_of(' '));
    url.erase(url.find_last_not_of(' ') + 1);
    if (!url.empty()) urls.push_back(url);
    at = end + 1;
  }
  return urls;
}

Deadline sooner(Deadline end, double seconds) {
  return {std::min(end.at_ns, in_seconds(seconds).at_ns)};
}

StatusOr<Dialed> dial_one(const std::string& url, const std::string& command, Deadline end) {
  MOAI_ASSIGN_OR_RETURN(transport::Address address, transport::parse_address(url));
  MOAI_ASSIGN_OR_RETURN(transport::Socket socket,
                        transport::connect_to(address, sooner(end, kConnectSeconds)));
  MOAI_RETURN_IF_ERROR(transport::send_route(socket, "session NEW", sooner(end, kConnectSeconds)));
  wire::Hello hello;
  hello.version = MOAI_VERSION;
  hello.command = command;
  hello.pid = ::getpid();
  wire::Bytes bytes = wire::encode(hello);
  transport::HandshakeOptions options;
  options.hello.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  MOAI_ASSIGN_OR_RETURN(
      transport::Opened opened,
      transport::open_client(std::move(socket), options, sooner(end, kHandshakeSeconds)));
  MOAI_ASSIGN_OR_RETURN(wire::Hello peer,
                        wire::decode<wire::Hello>(std::as_bytes(std::span(opened.peer_hello))));
  if (peer.protocol != wire::kProtocolVersion)
    return Status(
        StatusCode::version_mismatch,
        "The server at " + url + " is moai " + peer.version + " and speaks protocol " +
            std::to_string(peer.protocol) + "; this is moai " MOAI_VERSION " with protocol " +
            std::to_string(wire::kProtocolVersion) + ". Install the same version at both ends.");
  return Dialed{std::move(opened.connection), std::move(peer), url};
}

// Trying again would not help.
bool is_final(StatusCode code) {
  return code == StatusCode::invalid_argument || code == StatusCode::permission_denied ||
         code == StatusCode::version_mismatch;
}

Status no_answer(const std::vector<std::string>& urls, double seconds, int tries,
                 const Status& last) {
  std::string names;
  for (const std::string& url : urls) names += (names.empty() ? "" : ", ") + url;
  char spent[48];
  std::snprintf(spent, sizeof spent, " in %.1f s (%d %s)", seconds, tries,
                tries == 1 ? "try" : "tries");
  return unavailable(
      "No answer from " + names + spent + ": " + last.message() +
      " Check MOAI_SERVER and that `moai serve` runs there; without a server: `moai run --local`.");
}

}  // namespace

StatusOr<Dialed> dial(const DialOptions& options) {
  std::vector<std::string> urls = split(options.servers);
  if (urls.empty())
    return invalid(
        "No server is configured. Start the program with `moai run`, or set MOAI_SERVER=URL.");
  uint64_t begin = now_ns();
  Deadline end = in_seconds(options.seconds);
  Status last;
  int tries = 0;
  while (tries < kTries && !has_passed(end)) {
    std::this_thread::sleep_for(std::chrono::duration<double>(kPauseSeconds[tries++]));
    for (const std::string& url : urls) {
      if (options.is_stopped()) return unavailable("The session was closed while it connected.");
      if (options.on_try)
        options.on_try(url + " (attempt " + std::to_string(tries) + " of " +
                       std::to_string(kTries) + ")");
      StatusOr<Dialed> dialed = dial_one(url, options.command, end);
      if (dialed.ok()) return dialed;
      last = dialed.status();
      if (is_final(last.code())) return last;
    }
  }
  std::string text = last.message();
  if (!text.empty() && text.back() != '.') last = Status(last.code(), text + ".");
  return no_answer(urls, static_cast<double>(now_ns() - begin) / 1e9, tries, last);
}

}  // namespace moai::frontend
