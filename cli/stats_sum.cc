#include "cli/stats_sum.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

namespace moai::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNumbers[] = {
    "steps",
    "ops_recorded",
    "blocking_round_trips",
    "bytes_up",
    "bytes_down",
    "segments_compiled",
    "segments_resized",
    "segments_reused",
    "frames_sent",
    "frames_received",
    "waits_read",
    "waits_sync",
    "waits_upload",
    "waits_run_ahead",
    "waits_memory",
    "worker_frames_received",
    "worker_plans_built",
    "worker_kernels_built",
    "worker_plan_hits",
    "worker_allocations",
    "worker_mappings",
    "peak_bytes",
    "compiled_graphs",
    "planning_ms",
    "idle_after_reads_ms",
};

Json nothing() {
  Json stats = Json::object();
  for (const char* key : kNumbers) stats[key] = uint64_t{0};
  stats["transport"] = "";
  for (const char* key : {"notes", "hints"}) stats[key] = Json::array();
  for (const char* key : {"reads", "reads_before_backward", "new_segments", "fallbacks"})
    stats[key] = Json::object();
  return stats;
}

// A process from its beginning on; a number may come back after its process ended.
struct Process {
  Json stats;  // null: not told
};

std::vector<Process> processes_of(const std::string& lines) {
  std::vector<Process> processes;
  std::map<uint64_t, size_t> latest;  // by process number
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    Json told = Json::parse(line, nullptr, false);
    if (!told.is_object()) continue;
    auto pid = told.find("pid"), stats = told.find("stats");
    if (pid == told.end() || !pid->is_number_unsigned()) continue;
    bool is_end = stats != told.end();
    if (is_end && !stats->is_object()) continue;
    auto [at, is_new] = latest.try_emplace(pid->get<uint64_t>(), 0);
    if (is_new || !is_end) {
      at->second = processes.size();
      processes.emplace_back();
    }
    if (is_end) processes[at->second].stats = *stats;
  }
  return processes;
}

// Processes may run one after the other, so their peaks are not added; nor is when something was.
bool is_largest(const std::string& key) {
  return key.starts_with("peak_") || key.starts_with("last_");
}

void add_number(const std::string& key, Json& sum, const Json& value) {
  if (!sum.is_number_unsigned() || !value.is_number_unsigned()) {
    sum = sum.get<double>() + value.get<double>();
    return;
  }
  auto a = sum.get<uint64_t>(), b = value.get<uint64_t>();
  sum = is_largest(key) ? std::max(a, b) : a + b;
}

// A list of different texts: "tcp", "tcp; shm, same host".
void add_text(Json& sum, const std::string& text) {
  auto list = sum.get<std::string>();
  if (list.empty())
    sum = text;
  else if (!text.empty() && ("; " + list + "; ").find("; " + text + "; ") == std::string::npos)
    sum = list + "; " + text;
}

void add(Json& sum, const Json& stats) {
  for (const auto& [key, value] : stats.items()) {
    auto at = sum.find(key);
    if (at == sum.end())
      sum[key] = value;
    else if (at->is_number() && value.is_number())
      add_number(key, *at, value);
    else if (at->is_string() && value.is_string())
      add_text(*at, value.get<std::string>());
    else if (at->is_object() && value.is_object())
      add(*at, value);
    else if (at->is_array() && value.is_array())
      for (const Json& item : value)
        if (std::find(at->begin(), at->end(), item) == at->end()) at->push_back(item);
  }
}

}  // namespace

std::string add_up_stats(const std::string& lines) {
  std::vector<Process> processes = processes_of(lines);
  Json sum = nothing();
  uint64_t silent = 0;
  for (const Process& process : processes) {
    if (process.stats.is_null())
      silent++;
    else
      add(sum, process.stats);
  }
  sum["processes"] = processes.size();
  sum["processes_killed"] = silent;
  return sum.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moai::cli
