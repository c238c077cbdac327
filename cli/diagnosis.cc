#include "cli/diagnosis.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/base/memory_text.h"

namespace moai::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kShown = 3;
constexpr double kAdviceMs = 10;  // that are not worth a word
// Of src/frontend/recompile_reasons.cc: what a program cannot avoid.
constexpr const char* kFirstOfItsKind = "nothing like it before";

// nullptr where there is none.
const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() ? nullptr : &*at;
}
double number_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}
std::string text_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}
Json table_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_object() ? *value : Json::object();
}

struct Entry {
  std::string name;
  Json value;
  double weight = 0;
};

// The heaviest first; equal ones by name.
template <class Weight>
std::vector<Entry> ranked(const Json& table, Weight weight) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : table.items())
    if (const double w = weight(value); w > 0) entries.push_back({name, value, w});
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.name < b.name;
  });
  return entries;
}

std::vector<Entry> ranked_reads(const Json& stats) {
  return ranked(table_of(stats, "reads"),
                [](const Json& n) { return n.is_number() ? n.get<double>() : 0; });
}
std::vector<Entry> ranked_reasons(const Json& stats) {
  return ranked(table_of(stats, "new_segments"),
                [](const Json& reason) { return number_of(reason, "ops"); });
}
std::vector<Entry> ranked_fallbacks(const Json& stats) {
  return ranked(table_of(stats, "fallbacks"),
                [](const Json& count) { return number_of(count, "ms"); });
}

std::string count_text(double n, const char* one) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", n);
  return std::string(text) + " " + one + (n == 1 ? "" : "s");
}

std::string line_of(const char* label, const std::string& text) {
  char start[40];
  std::snprintf(start, sizeof start, "  %-24s", label);
  return start + text + "\n";
}

bool is_before_backward(const Json& stats, const std::string& line) {
  return number_of(table_of(stats, "reads_before_backward"), line.c_str()) > 0;
}

struct Cost {
  double ms = 0;
  std::string advice;
};

Cost cost_of_reads(const Json& stats) {
  const std::vector<Entry> lines = ranked_reads(stats);
  Cost cost = {number_of(stats, "idle_after_reads_ms"), ""};
  if (lines.empty()) return {};
  cost.advice = "the server had nothing to do for " + format_ms(cost.ms) +
                " after values were read, most at " + lines[0].name +
                ": read after the step, or every tenth step";
  return cost;
}

Cost cost_of_new_segments(const Json& stats) {
  double all = 0, avoidable = 0;
  const Entry* most = nullptr;
  const std::vector<Entry> reasons = ranked_reasons(stats);
  for (const Entry& reason : reasons) {
    all += reason.weight;
    if (reason.name == kFirstOfItsKind || number_of(reason.value, "segments") < 3) continue;
    avoidable += reason.weight;
    if (most == nullptr) most = &reason;
  }
  if (most == nullptr) return {};
  Cost cost = {number_of(stats, "planning_ms") * avoidable / all, ""};
  const bool is_number = most->name.starts_with("number ");
  const bool is_path = most->name.starts_with("other ") || most->name.starts_with("where ");
  cost.advice =
      "planning anew took " + format_ms(cost.ms) + ", most for " + most->name + " (" +
      text_of(most->value, "change") + "): " +
      (is_path ? "the program takes another path there; compute both and choose with torch.where"
       : is_number ? "give it as a tensor, or let it take few values"
                   : "pad it to a few sizes");
  return cost;
}

Cost cost_of_fallbacks(const Json& stats) {
  const std::vector<Entry> ops = ranked_fallbacks(stats);
  Cost cost;
  for (const Entry& op : ops) cost.ms += op.weight;
  if (ops.empty()) return {};
  cost.advice = "operators on the client took " + format_ms(cost.ms) + ", most of it " +
                ops[0].name + ": call it less often, or on tensors that stay on the CPU";
  return cost;
}

}  // namespace

std::string format_ms(double ms) {
  char text[32];
  if (ms < 1000)
    std::snprintf(text, sizeof text, "%.1f ms", ms);
  else
    std::snprintf(text, sizeof text, "%.2f s", ms / 1000);
  return text;
}

std::string per_step(double n, const Json& stats) {
  const double steps = number_of(stats, "steps");
  char text[32] = "";
  if (steps > 0) std::snprintf(text, sizeof text, ", %.1f a step", n / steps);
  return text;
}

std::string busiest_reads(const Json& stats) {
  const std::vector<Entry> lines = ranked_reads(stats);
  std::string text;
  for (size_t i = 0; i < std::min(lines.size(), kShown); i++)
    text += line_of(i == 0 ? "waited for most" : "",
                    count_text(lines[i].weight, "value") + per_step(lines[i].weight, stats) + ", " +
                        lines[i].name +
                        (is_before_backward(stats, lines[i].name)
                             ? ", between forward and backward: no micro-batches"
                             : ""));
  return text;
}

std::string reasons_of_new_segments(const Json& stats) {
  const std::vector<Entry> reasons = ranked_reasons(stats);
  std::string text;
  for (size_t i = 0; i < std::min(reasons.size(), kShown); i++) {
    const Json& reason = reasons[i].value;
    char step[48];
    std::snprintf(step, sizeof step, ", last in step %.0f", number_of(reason, "last_step"));
    text += line_of("", count_text(number_of(reason, "segments"), "new segment") + " with " +
                            count_text(reasons[i].weight, "op") + ": " + reasons[i].name + ", " +
                            text_of(reason, "change") + step);
  }
  return text;
}

std::string costliest_fallbacks(const Json& stats) {
  const std::vector<Entry> ops = ranked_fallbacks(stats);
  std::string text;
  for (size_t i = 0; i < std::min(ops.size(), kShown); i++)
    text += line_of("", format_ms(ops[i].weight) + " and " +
                            format_bytes(static_cast<uint64_t>(number_of(ops[i].value, "bytes"))) +
                            " moved: " + ops[i].name);
  return text;
}

std::string advice(const Json& stats) {
  Cost most;
  for (const Cost& cost :
       {cost_of_reads(stats), cost_of_new_segments(stats), cost_of_fallbacks(stats)})
    if (cost.ms > most.ms) most = cost;
  return most.ms < kAdviceMs ? "" : line_of("advice", most.advice);
}

}  // namespace moai::cli
