#include "cli/stats.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/diagnosis.h"
#include "src/base/memory_text.h"

namespace moai::cli {

namespace {

struct Row {
  const char* key;
  const char* label;
  const char* unit;  // "bytes": an amount of memory; "ms": of time
  std::string (*details)(const nlohmann::json& stats) = nullptr;
};

constexpr Row kRows[] = {
    {"told", "processes added up", ""},
    {"steps", "steps", ""},
    {"ops_recorded", "ops recorded", "ops"},
    {"segments_resized", "segments resized", "segments"},
    {"segments_compiled", "segments compiled", "segments", reasons_of_new_segments},
    {"planning_ms", "spent planning", "ms"},
    {"segments_reused", "segments reused", "segments"},
    {"blocking_round_trips", "round trips waited for", "waits", busiest_reads},
    {"frames_sent", "sent", "frames"},
    {"frames_received", "received", "frames"},
    {"bytes_up", "data up", "bytes"},
    {"bytes_down", "data down", "bytes"},
    {"worker_plans_built", "plans built", "plans"},
    {"worker_allocations", "worker allocations", "calls"},
    {"fallbacks", "ops run on the client", "calls", costliest_fallbacks},
    {"transport", "transport", ""},
};

// A number, a text, or a table of counts that is summed up and then listed.
std::string format_value(const nlohmann::json& value, const std::string& unit,
                         const nlohmann::json& stats, bool has_rate) {
  const auto rate = [&](double n) { return has_rate ? per_step(n, stats) : ""; };
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
    return std::to_string(sum) + " " + unit + rate(static_cast<double>(sum)) +
           (list.empty() ? "" : " (" + list + ")");
  }
  if (!value.is_number()) return value.dump();
  if (unit == "ms") return format_ms(value.get<double>());
  if (unit == "bytes" && value.is_number_unsigned()) return format_bytes(value.get<uint64_t>());
  return value.dump() + (unit.empty() ? "" : " " + unit) + rate(value.get<double>());
}

uint64_t number_of(const nlohmann::json& stats, const char* key) {
  if (!stats.is_object() || !stats.contains(key) || !stats[key].is_number_unsigned()) return 0;
  return stats[key].get<uint64_t>();
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
    text += label + format_value(*at, row.unit, stats, row.details != nullptr) + "\n";
    if (row.details != nullptr) text += row.details(stats);
  }
  text += advice(stats);
  if (silent > 0) text += "  " + silence(all, silent);
  return text;
}

}  // namespace moai::cli
