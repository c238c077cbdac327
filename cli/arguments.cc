#include "cli/arguments.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <optional>
#include <system_error>

#include "src/base/memory_text.h"
#include "src/engine/compile.h"
#include "src/engine/memory_size.h"

namespace moai::cli {

namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

constexpr double kWatchSecondsMin = 0.1, kWatchSecondsMax = 3600;

// The whole text as a number, or nothing.
template <class Number>
std::optional<Number> number_from(std::string_view text) {
  Number number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return std::nullopt;
}

struct Requirement {
  std::string_view word;
  bool is_kept;  // by some part of moai; otherwise it would promise what nobody looks at
};

constexpr Requirement kRequirements[] = {{"rdma", false},
                                         {"gdr", false},
                                         {"no-fallback", true},
                                         {"no-replicate", false},
                                         {"same-plan", false}};

}  // namespace

StatusOr<int> threads_from(std::string_view text) {
  if (text.empty()) return 0;
  std::optional<int> threads = number_from<int>(text);
  if (threads && *threads >= 1 && *threads <= kThreadsMax) return *threads;
  return invalid("--threads: " + quoted(text) + " is no number from 1 to " +
                 std::to_string(kThreadsMax) + "; leave it out for one a core");
}

StatusOr<uint32_t> index_from(std::string_view text) {
  if (std::optional<uint32_t> index = number_from<uint32_t>(text)) return *index;
  return invalid("-i: " + quoted(text) + " is no index of a device; write 0 for the first");
}

StatusOr<double> seconds_from(std::string_view text) {
  std::optional<double> seconds = number_from<double>(text);
  if (seconds && *seconds >= kWatchSecondsMin && *seconds <= kWatchSecondsMax) return *seconds;
  return invalid("--watch: " + quoted(text) +
                 " is no number of seconds from 0.1 to 3600; leave it out for one a second");
}

StatusOr<uint64_t> device_memory_from(std::string_view text) {
  if (text.empty()) return engine::default_memory_bytes();
  StatusOr<uint64_t> bytes = parse_bytes(text);
  if (!bytes.ok()) return invalid("--device-memory: " + bytes.status().message());
  if (*bytes == 0) return invalid("--device-memory: it must be more than nothing; write 4GiB");
  return *bytes;
}

Status check_require(std::string_view list) {
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    std::string_view word = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    auto known = std::find_if(std::begin(kRequirements), std::end(kRequirements),
                              [&](const Requirement& r) { return r.word == word; });
    if (known == std::end(kRequirements))
      return invalid("--require: " + quoted(word) +
                     " is not one of rdma, gdr, no-fallback, no-replicate, same-plan");
    if (!known->is_kept)
      return invalid("--require: nothing in this version can promise " + std::string(word) +
                     "; leave it out");
  }
  return ok_status();
}

Status check_dump(const std::string& text) {
  StatusOr<engine::DumpOptions> dump = engine::parse_dump(text);
  if (!dump.ok())
    return invalid(dump.status().message() + "; write --dump=graph, or --dump=graph:FOLDER");
  if (!dump->any())
    return invalid(
        "--dump: name one of graph, plan, kernel, as --dump=graph or --dump=graph:FOLDER");
  if (dump->directory.empty() && text.find(':') != std::string::npos)
    return invalid("--dump: name a folder after the colon, or leave the colon out for stderr");
  return ok_status();
}

StatusOr<std::string> prepare_dump(const std::string& text) {
  size_t colon = text.find(':');
  if (colon == std::string::npos) return text;
  std::string folder = std::filesystem::absolute(text.substr(colon + 1)).lexically_normal();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder, error) || ::access(folder.c_str(), W_OK | X_OK) != 0)
    return Status(StatusCode::unavailable,
                  "--dump: " + folder + " is no folder that can be written to; name another");
  return text.substr(0, colon + 1) + folder;
}

}  // namespace moai::cli
