#include "cli/stats.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/memory_text.h"

namespace moai::cli {

namespace {

struct Row {
  const char* key;
  const char* label;
  const char* unit;  // "bytes": an amount of memory
};

constexpr Row kRows[] = {
    {"told", "processes added up", ""},
    {"steps", "steps", ""},
    {"ops_recorded", "ops recorded", "ops"},
    {"segments_compiled", "segments compiled", "segments"},
    {"segments_reused", "segments reused", "segments"},
    {"blocking_round_trips", "round trips waited for", "waits"},
    {"frames_sent", "sent", "frames"},
    {"frames_received", "received", "frames"},
    {"bytes_up", "data up", "bytes"},
    {"bytes_down", "data down", "bytes"},
    {"worker_plans_built", "plans built", "plans"},
    {"worker_allocations", "worker allocations", "calls"},
    {"fallbacks", "ops run on the client", "calls"},
    {"transport", "transport", ""},
};

// A number, a text, or a table of counts that is summed up and then listed.
std::string format_value(const nlohmann::json& value, const std::string& unit) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    uint64_t sum = 0;
    std::string list;
    for (const auto& [name, count] : value.items()) {
      const nlohmann::json calls =
          count.is_object() ? count.value("calls", nlohmann::json()) : count;
      if (!calls.is_number_unsigned()) continue;
      sum += calls.get<uint64_t>();
      list += (list.empty() ? "" : ", ") + name + " " + std::to_string(calls.get<uint64_t>());
    }
    return std::to_string(sum) + " " + unit + (list.empty() ? "" : " (" + list + ")");
  }
  if (!value.is_number()) return value.dump();
  if (unit == "bytes" && value.is_number_unsigned()) return format_bytes(value.get<uint64_t>());
  return value.dump() + (unit.empty() ? "" : " " + unit);
}

uint64_t number_of(const nlohmann::json& stats, const char* key) {
  if (!stats.is_object() || !stats.contains(key) || !stats[key].is_number_unsigned()) return 0;
  return stats[key].get<uint64_t>();
}

// The lines that waited for values most often, and how often a step.
std::string busiest_reads(const nlohmann::json& stats) {
  constexpr size_t kShown = 3;
  std::vector<std::pair<uint64_t, std::string>> lines;
  auto reads = stats.find("reads");
  if (reads == stats.end() || !reads->is_object()) return "";
  for (const auto& [line, count] : reads->items())
    if (count.is_number_unsigned()) lines.emplace_back(count.get<uint64_t>(), line);
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  const uint64_t steps = number_of(stats, "steps");
  std::string text;
  for (size_t i = 0; i < lines.size() && i < kShown; i++) {
    char line[96], rate[32] = "";
    if (steps > 0)
      std::snprintf(rate, sizeof rate, ", %.1f a step",
                    static_cast<double>(lines[i].first) / static_cast<double>(steps));
    std::snprintf(line, sizeof line, "  %-24s%" PRIu64 " value%s%s, ",
                  i == 0 ? "waited for most" : "", lines[i].first, lines[i].first == 1 ? "" : "s",
                  rate);
    text += line + lines[i].second + "\n";
  }
  return text;
}

// Who did not tell, and why that may be.
std::string silence(uint64_t all, uint64_t silent) {
  return std::to_string(silent) + " of " + std::to_string(all) +
         " processes did not tell what they counted: ended by a signal or os._exit, or still "
         "running\n";
}

}  // namespace

std::string format_stats(const std::string& json_text) {
  nlohmann::json stats = nlohmann::json::parse(json_text, nullptr, false);
  uint64_t all = number_of(stats, "processes"), silent = number_of(stats, "processes_killed");
  if (all == 0) return "moai: the program used no accelerator\n";
  if (silent == all) return "moai: the program used the accelerator, but " + silence(all, silent);
  std::string text = "moai:\n";
  if (all > 1) stats["told"] = std::to_string(all - silent) + " of " + std::to_string(all);
  for (const Row& row : kRows) {
    auto at = stats.find(row.key);
    if (at == stats.end()) continue;
    char label[40];
    std::snprintf(label, sizeof label, "  %-24s", row.label);
    text += label + format_value(*at, row.unit) + "\n";
    if (row.key == std::string_view("blocking_round_trips")) text += busiest_reads(stats);
  }
  if (silent > 0) text += "  " + silence(all, silent);
  return text;
}

}  // namespace moai::cli
