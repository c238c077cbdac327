#include "cli/doctor_server.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "cli/table.h"
#include "src/base/clock.h"
#include "src/engine/status_answer.h"
#include "transport/open/open.h"

namespace moai::cli {

namespace {

constexpr double kAnswerSeconds = 3;
constexpr size_t kVersionWidth = 40;

struct Answer {
  std::string url;
  wire::Hello peer;
  Status status;
};

Answer ask(const std::string& url, const transport::Address& address) {
  Answer answer{url, {}, {}};
  answer.status = engine::ask_status(address, in_seconds(kAnswerSeconds), &answer.peer).status();
  return answer;
}

}  // namespace

Finding judge_server(const std::string& url, const wire::Hello& peer, const Status& answered,
                     Grade silence) {
  const std::string version = printable(peer.version, kVersionWidth);
  const std::string same = "install the same version at both ends";
  const std::string other = url + " is moai " + version + ", this is " MOAI_VERSION;
  bool is_known = !peer.version.empty();
  if (is_known && peer.protocol != wire::kProtocolVersion)
    return {Grade::bad, "server",
            other + ": they speak protocols " + std::to_string(peer.protocol) + " and " +
                std::to_string(wire::kProtocolVersion),
            same};
  if (answered.code() == StatusCode::version_mismatch)
    return {Grade::bad, "server", url + ": " + answered.message(), same};
  if (!answered.ok())
    return {silence, "server", "no answer from " + url + ": " + answered.message(),
            "start it there with moai serve --listen " + url +
                ", correct MOAI_SERVER, or use moai run --local"};
  if (is_known && peer.version != MOAI_VERSION) return {Grade::note, "server", other, same};
  return {Grade::ok, "server", url + " answers, moai " + version, ""};
}

std::vector<Finding> check_servers() {
  const char* configured = std::getenv("MOAI_SERVER");
  std::vector<Finding> findings;
  std::vector<Answer> answers;
  std::istringstream list(configured ? configured : "");
  for (std::string url; std::getline(list, url, ',');) {
    StatusOr<transport::Address> address = transport::parse_address(url);
    if (address.ok())
      answers.push_back(ask(url, *address));
    else
      findings.push_back(
          {Grade::bad, "server", address.status().message(), "correct MOAI_SERVER, or unset it"});
  }
  // Programs take the first that answers, so that one without an answer is no obstacle then.
  bool is_any_there =
      std::any_of(answers.begin(), answers.end(), [](const Answer& a) { return a.status.ok(); });
  for (const Answer& a : answers)
    findings.push_back(
        judge_server(a.url, a.peer, a.status, is_any_there ? Grade::note : Grade::bad));
  return findings;
}

}  // namespace moai::cli
