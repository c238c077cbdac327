#include "cli/stats.h"

#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/base/memory_text.h"

namespace moai::cli {

namespace {

struct Row {
  const char* key;
  const char* label;
  const char* unit;  // "bytes": an amount of memory
};

constexpr Row kRows[] = {
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

}  // namespace

std::string format_stats(const std::string& json_text) {
  nlohmann::json stats = nlohmann::json::parse(json_text, nullptr, false);
  if (!stats.is_object()) return "moai: the program used no accelerator\n";
  std::string text = "moai:\n";
  for (const Row& row : kRows) {
    auto at = stats.find(row.key);
    if (at == stats.end()) continue;
    char label[40];
    std::snprintf(label, sizeof label, "  %-24s", row.label);
    text += label + format_value(*at, row.unit) + "\n";
  }
  return text;
}

}  // namespace moai::cli
