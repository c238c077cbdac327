#include "cli/smi_text.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/table.h"

namespace moai::cli {

namespace {

constexpr const char* kName = "MoAI Accelerator";
constexpr size_t kCommandWidthMax = 80;

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string percent(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "%3u %%", value);
  return text;
}

std::string model_of(const wire::StatusReply& status) {
  return status.flavor.empty() ? status.device : status.flavor;
}

std::vector<std::string> row_of(const Accelerator& a) {
  bool is_idle = a.status.jobs.empty();
  return {(a.is_default ? "* " : "  ") + std::to_string(a.index),
          kName,
          printable(model_of(a.status), kCommandWidthMax),
          is_idle ? "-" : mebibytes(a.status.used_bytes),
          is_idle ? "-" : mebibytes(a.status.memory_bytes),
          is_idle ? "-" : percent(a.status.utilization_percent)};
}

}  // namespace

std::string smi_table(const std::vector<Accelerator>& accelerators, const std::string& current,
                      const std::string& latest) {
  std::vector<std::vector<std::string>> rows, processes;
  std::string notes;
  for (const Accelerator& a : accelerators) {
    rows.push_back(row_of(a));
    for (const wire::JobStatus& job : a.status.jobs)
      processes.push_back({std::to_string(a.index), std::to_string(job.job),
                           std::to_string(job.pid), printable(job.command, kCommandWidthMax),
                           mebibytes(job.bytes)});
    for (const std::string& note : a.status.notes) notes += "  " + printable(note, 200) + "\n";
  }
  std::string text =
      render_table({{"Device", false, 6},
                    {"Name", true, 17},
                    {"Model", false, 0},
                    {"Memory Usage", false, 0},
                    {"Total Memory", false, 0},
                    {"Utilization", false, 0}},
                   rows, "Current Version: " + current + "  Latest Version: " + latest);
  if (!processes.empty())
    text += "\nProcesses:\n" + render_table({{"Device", true, 6},
                                             {"Job ID", true, 0},
                                             {"PID", true, 0},
                                             {"Process", false, 0},
                                             {"Memory Usage", false, 0}},
                                            processes);
  if (!notes.empty()) text += "\nNotes:\n" + notes;
  return text;
}

std::string smi_json(const std::vector<Accelerator>& accelerators, const std::string& current,
                     const std::string& latest, const std::string& utc_time) {
  using nlohmann::json;
  json out = {{"schema", 1},
              {"time", utc_time},
              {"pool", nullptr},
              {"version", {{"current", current}, {"latest", latest}}},
              {"accelerators", json::array()},
              {"processes", json::array()},
              {"waiting", json::array()},
              {"notes", json::array()}};
  for (const Accelerator& a : accelerators) {
    out["accelerators"].push_back({{"index", a.index},
                                   {"id", a.url},
                                   {"default", a.is_default},
                                   {"name", kName},
                                   {"model", model_of(a.status)},
                                   {"devices", 1},
                                   {"state", a.status.jobs.empty() ? "idle" : "busy"},
                                   {"memory_used_bytes", a.status.used_bytes},
                                   {"memory_total_bytes", a.status.memory_bytes},
                                   {"utilization_percent", a.status.utilization_percent}});
    for (const wire::JobStatus& job : a.status.jobs)
      out["processes"].push_back({{"index", a.index},
                                  {"job", job.job},
                                  {"pid", job.pid},
                                  {"host", nullptr},
                                  {"command", job.command},
                                  {"memory_used_bytes", job.bytes},
                                  {"transport", nullptr},
                                  {"fallbacks", nullptr}});
    for (const std::string& note : a.status.notes) out["notes"].push_back(note);
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace moai::cli
