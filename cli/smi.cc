// `moai smi`, also as `moreh-smi`: the accelerators, their memory, their processes.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/smi_text.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/engine/status_answer.h"
#include "transport/open/open.h"

namespace moai::cli {

namespace {

constexpr double kAnswerSeconds = 5;

struct SmiOptions {
  std::string server;
  std::optional<std::string> index_text, watch_text;  // as given
  std::optional<uint32_t> index;
  std::optional<double> watch_seconds;
  bool is_json = false, prints_version = false, prints_server_version = false;
};

// The embedded servers of this user: their abstract sockets, oldest first.
std::vector<std::string> local_urls() {
  std::ifstream file("/proc/net/unix");
  std::string prefix = "@moai/" + std::to_string(::getuid()) + "/";
  std::vector<std::string> urls;
  for (std::string line; std::getline(file, line);) {
    size_t at = line.find(prefix);
    if (at == std::string::npos) continue;
    std::string url = "unix:" + line.substr(at);
    if (std::find(urls.begin(), urls.end(), url) == urls.end()) urls.push_back(url);
  }
  return urls;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

StatusOr<wire::StatusReply> ask(const std::string& url) {
  MOAI_ASSIGN_OR_RETURN(transport::Address address, transport::parse_address(url));
  return engine::ask_status(address, in_seconds(kAnswerSeconds));
}

// A configured server has to answer; an embedded one may have ended meanwhile.
StatusOr<std::vector<Accelerator>> collect(const SmiOptions& options) {
  const char* configured = std::getenv("MOAI_SERVER");
  std::string servers = !options.server.empty() ? options.server : configured ? configured : "";
  bool is_configured = !servers.empty();
  std::vector<Accelerator> accelerators;
  for (const std::string& url : is_configured ? split(servers) : local_urls()) {
    StatusOr<wire::StatusReply> reply = ask(url);
    if (!reply.ok() && is_configured)
      return unavailable("No answer from " + url + ": " + reply.status().message() +
                         ". Check MOAI_SERVER; without a server: moai run --local");
    if (!reply.ok()) continue;
    auto index = static_cast<uint32_t>(accelerators.size());
    accelerators.push_back({index, url, index == 0, std::move(*reply)});
  }
  if (accelerators.empty()) {
    wire::StatusReply idle;  // what moai run would start
    idle.version = MOAI_VERSION;
    idle.device = "cpu";
    accelerators.push_back({0, "", true, idle});
  }
  return accelerators;
}

std::string utc_now() {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

int print_once(const SmiOptions& options) {
  StatusOr<std::vector<Accelerator>> accelerators = collect(options);
  if (!accelerators.ok()) {
    log_error("smi: " + accelerators.status().message());
    return kExitAway;
  }
  std::string latest = accelerators->front().status.version;
  if (options.prints_server_version) return std::printf("Server Version: %s\n", latest.c_str()) < 0;
  if (options.index) {
    size_t count = accelerators->size();
    std::erase_if(*accelerators, [&](const Accelerator& a) { return a.index != *options.index; });
    if (accelerators->empty()) {
      log_error("smi: there is no device " + std::to_string(*options.index) + "; " +
                (count == 1 ? "the only device is 0"
                            : "there are devices 0 to " + std::to_string(count - 1)));
      return kExitNotFound;
    }
  }
  std::string text = options.is_json ? smi_json(*accelerators, MOAI_VERSION, latest, utc_now())
                                     : smi_table(*accelerators, MOAI_VERSION, latest);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return 0;
}

Status read_numbers(SmiOptions& options) {
  if (options.index_text) {
    MOAI_ASSIGN_OR_RETURN(options.index, index_from(*options.index_text));
  }
  if (options.watch_text) {
    MOAI_ASSIGN_OR_RETURN(options.watch_seconds, seconds_from(*options.watch_text));
  }
  return ok_status();
}

int smi(SmiOptions options) {
  if (Status status = read_numbers(options); !status.ok()) {
    log_error("smi: " + status.message());
    return kExitUsage;
  }
  if (options.prints_version) return std::printf("Current Version: %s\n", MOAI_VERSION) < 0;
  int status = print_once(options);
  while (options.watch_seconds && status == 0) {
    std::this_thread::sleep_for(std::chrono::duration<double>(*options.watch_seconds));
    if (::isatty(STDOUT_FILENO)) std::fputs("\033[H\033[J", stdout);
    status = print_once(options);
  }
  return status;
}

}  // namespace

void add_smi(CLI::App& app, int& status) {
  auto options = std::make_shared<SmiOptions>();
  CLI::App* command =
      app.add_subcommand("smi", "Show the accelerators, their memory and their processes");
  command
      ->add_option("--server", options->server,
                   "Address of the server (default: MOAI_SERVER, else those of this user's runs)")
      ->type_name("URL");
  command->add_option("-i,--idx", options->index_text, "Show one device, the first is 0")
      ->type_name("INDEX");
  command->add_flag("--json", options->is_json, "Print one JSON object");
  command->add_option("--watch", options->watch_text, "Print again every SECONDS (default: 1)")
      ->option_text("[SECONDS]")
      ->expected(0, 1)
      ->default_str("1");
  command->add_flag("-v,--version", options->prints_version, "Print the version of this program");
  command->add_flag("-s,--server-version", options->prints_server_version,
                    "Print the version of the server");
  command->callback([options, &status] { status = smi(*options); });
}

}  // namespace moai::cli
