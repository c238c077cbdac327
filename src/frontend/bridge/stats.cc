// What the process did so far, as JSON.
#include "src/frontend/bridge/stats.h"

#include <algorithm>
#include <cstdio>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string milliseconds(uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(ns) / 1e6);
  return text;
}

std::string fallbacks_json() {
  std::string out;
  for (auto& [op, count] : runtime().fallbacks()) {
    out += (out.empty() ? "" : ", ") + quoted(op) + ": {\"calls\": " + std::to_string(count.calls) +
           ", \"bytes\": " + std::to_string(count.bytes) +
           ", \"ms\": " + milliseconds(static_cast<uint64_t>(count.milliseconds * 1e6)) + "}";
  }
  return "{" + out + "}";
}

// Two tables by line.
std::string reads_json() {
  std::string reads, before_backward;
  const auto add = [](std::string& table, const std::string& line, uint64_t count) {
    if (count != 0)
      table += (table.empty() ? "" : ", ") + quoted(line) + ": " + std::to_string(count);
  };
  for (auto& [line, count] : runtime().reads().lines()) {
    add(reads, line, count.reads);
    add(before_backward, line, count.before_backward);
  }
  return "\"reads\": {" + reads + "}, \"reads_before_backward\": {" + before_backward + "}";
}

std::string new_segments_json() {
  std::string out;
  for (auto& [what, reason] : runtime().recorder().recompile_reasons())
    out += (out.empty() ? "" : ", ") + quoted(what) +
           ": {\"segments\": " + std::to_string(reason.segments) +
           ", \"ops\": " + std::to_string(reason.ops) +
           ", \"last_step\": " + std::to_string(reason.last_step) +
           ", \"change\": " + quoted(reason.change) + "}";
  return "{" + out + "}";
}

}  // namespace

std::string stats_json() {
  frontend::SessionCounters c = runtime().session().counters();
  std::string out = "{";
  auto number = [&](const char* key, uint64_t value) {
    out += quoted(key) + ": " + std::to_string(value) + ", ";
  };
  number("steps", c.steps);
  number("ops_recorded", runtime().recorder().ops_recorded());
  number("blocking_round_trips", c.blocking_round_trips);
  number("bytes_up", c.bytes_up);
  number("bytes_down", c.bytes_down);
  // A known segment is planned again for other results: the worker may resize more than are new.
  const uint64_t resized = std::min(c.segments_new, c.worker.plans_resized);
  number("segments_compiled", c.segments_new - resized);
  number("segments_resized", resized);
  number("segments_reused", c.segments_reused);
  number("frames_sent", c.frames_sent);
  number("frames_received", c.frames_received);
  number("waits_read", c.waits_read);
  number("waits_sync", c.waits_sync);
  number("waits_upload", c.waits_upload);
  number("waits_run_ahead", c.waits_run_ahead);
  number("waits_memory", c.waits_memory);
  number("worker_frames_received", c.worker.frames_received);
  number("worker_plans_built", c.worker.plans_built);
  number("worker_kernels_built", c.worker.kernels_built);
  number("worker_plan_hits", c.worker.plan_hits);
  number("worker_allocations", c.worker.allocations);
  number("worker_mappings", c.worker.mappings);
  number("peak_bytes", memory_counts().peak_bytes);
  out += "\"transport\": " + quoted(c.transport) + ", \"notes\": [";
  bool first = true;
  for (const std::string& note : runtime().session().notes()) {
    out += (first ? "" : ", ") + quoted(note);
    first = false;
  }
  return out + "], \"planning_ms\": " + milliseconds(c.worker.planning_ns) +
         ", \"idle_after_reads_ms\": " + milliseconds(c.idle_after_reads_ns) + ", " + reads_json() +
         ", \"new_segments\": " + new_segments_json() + ", \"fallbacks\": " + fallbacks_json() +
         "}";
}

}  // namespace moai::bridge
