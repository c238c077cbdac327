#include "cli/doctor_server.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "src/base/clock.h"
#include "src/engine/status_answer.h"
#include "transport/open/open.h"

namespace moai::cli {

namespace {

constexpr double kAnswerSeconds = 3;

Finding check_server(const std::string& url) {
  StatusOr<transport::Address> address = transport::parse_address(url);
  if (!address.ok())
    return {Grade::bad, "server", address.status().message(), "correct MOAI_SERVER, or unset it"};
  wire::Hello peer;
  Status answered = engine::ask_status(*address, in_seconds(kAnswerSeconds), &peer).status();
  return judge_server(url, peer, answered);
}

}  // namespace

Finding judge_server(const std::string& url, const wire::Hello& peer, const Status& answered) {
  const std::string same = "install the same version at both ends";
  const std::string other = url + " is moai " + peer.version + ", this is " MOAI_VERSION;
  bool is_known = !peer.version.empty();
  if (is_known && peer.protocol != wire::kProtocolVersion)
    return {Grade::bad, "server",
            other + ": they speak protocols " + std::to_string(peer.protocol) + " and " +
                std::to_string(wire::kProtocolVersion),
            same};
  if (answered.code() == StatusCode::version_mismatch)
    return {Grade::bad, "server", url + ": " + answered.message(), same};
  if (!answered.ok())
    return {Grade::bad, "server", "no answer from " + url + ": " + answered.message(),
            "start it there with moai serve --listen " + url +
                ", correct MOAI_SERVER, or use moai run --local"};
  if (is_known && peer.version != MOAI_VERSION) return {Grade::note, "server", other, same};
  return {Grade::ok, "server", url + " answers, moai " + peer.version, ""};
}

std::vector<Finding> check_servers() {
  const char* configured = std::getenv("MOAI_SERVER");
  std::vector<Finding> findings;
  std::istringstream list(configured ? configured : "");
  for (std::string url; std::getline(list, url, ',');)
    if (!url.empty()) findings.push_back(check_server(url));
  // Programs take the first that answers, so the others are no obstacle.
  bool is_any_there = std::any_of(findings.begin(), findings.end(),
                                  [](const Finding& f) { return f.grade != Grade::bad; });
  for (Finding& finding : findings)
    if (is_any_there && finding.grade == Grade::bad) finding.grade = Grade::note;
  return findings;
}

}  // namespace moai::cli
