// The first difference of two segments, in words.
#include "src/frontend/recompile_reasons.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>

#include "src/frontend/intern.h"
#include "src/frontend/recorded_op.h"
#include "src/wire/arguments.h"

namespace moai::frontend {
namespace {

using wire::Segment;
using wire::Tag;
using wire::View;

constexpr size_t kKnownMax = 64, kWordsMax = 1 << 20;
constexpr size_t kReasonsMax = 256;
const char* const kManyReasons = "other reasons";

struct Change {
  std::string of;             // "size 1"; empty: of the argument as a whole
  std::string before_to_now;  // "33 to 34"
};

std::string from_to(const std::string& before, const std::string& now) {
  return before + " to " + now;
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// At most 8 of them.
std::string text_of(std::span<const uint64_t> values, bool is_real) {
  std::string text = "[";
  for (size_t i = 0; i < std::min<size_t>(values.size(), 8); i++)
    text += (i ? ", " : "") + (is_real ? text_of(std::bit_cast<double>(values[i]))
                                       : std::to_string(static_cast<int64_t>(values[i])));
  return text + (values.size() > 8 ? ", ...]" : "]");
}

std::string text_of(const Segment& s, std::span<const uint64_t> argument) {
  const uint64_t word = argument[0];
  switch (wire::tag_of(word)) {
    case Tag::none: return "none";
    case Tag::tensor: return "a tensor";
    case Tag::tensor_list: return std::to_string(wire::payload_of(word)) + " tensors";
    case Tag::outputs: return std::to_string(wire::payload_of(word)) + " results";
    case Tag::integer: return std::to_string(wire::payload_of(word));
    case Tag::integer_wide: return std::to_string(static_cast<int64_t>(argument[1]));
    case Tag::real: return text_of(std::bit_cast<double>(argument[1]));
    case Tag::integer_list: return text_of(argument.subspan(1), false);
    case Tag::real_list: return text_of(argument.subspan(1), true);
    case Tag::scalar_list: return std::to_string(wire::scalar_list_of(word).count) + " numbers";
    case Tag::text: return s.texts[static_cast<size_t>(wire::payload_of(word))];
    default: return "a number";
  }
}

std::optional<Change> compare_views(const View& before, const View& now) {
  if (before.dtype != now.dtype)
    return Change{"the type",
                  from_to(std::string(name_of(before.dtype)), std::string(name_of(now.dtype)))};
  if (before.sizes.rank() != now.sizes.rank())
    return Change{"the number of sizes",
                  from_to(std::to_string(before.sizes.rank()), std::to_string(now.sizes.rank()))};
  for (int d = 0; d < now.sizes.rank(); d++)
    if (before.sizes[d] != now.sizes[d])
      return Change{"size " + std::to_string(d),
                    from_to(std::to_string(before.sizes[d]), std::to_string(now.sizes[d]))};
  for (int d = 0; d < now.strides.rank(); d++)
    if (before.strides[d] != now.strides[d])
      return Change{"stride " + std::to_string(d),
                    from_to(std::to_string(before.strides[d]), std::to_string(now.strides[d]))};
  if (before.offset != now.offset)
    return Change{"the offset", from_to(std::to_string(before.offset), std::to_string(now.offset))};
  return std::nullopt;
}

std::optional<Change> compare_tensors(const Segment& a, uint64_t before, const Segment& b,
                                      uint64_t now) {
  if (auto change = compare_views(a.views[wire::view_of(before)], b.views[wire::view_of(now)]))
    return change;
  const uint32_t from = wire::slot_of(before), to = wire::slot_of(now);
  if (a.slots[from].bytes != b.slots[to].bytes)
    return Change{"the bytes behind",
                  from_to(std::to_string(a.slots[from].bytes), std::to_string(b.slots[to].bytes))};
  if (a.slots[from].is_fresh != b.slots[to].is_fresh)
    return Change{"the age", b.slots[to].is_fresh ? "one with contents to a new one"
                                                  : "a new one to one with contents"};
  if (from != to) return Change{"the identity", "a tensor to another of the segment"};
  return std::nullopt;
}

std::optional<Change> compare_arguments(const Segment& a, std::span<const uint64_t> before,
                                        const Segment& b, std::span<const uint64_t> now) {
  const Tag tag = wire::tag_of(now[0]);
  if (tag == wire::tag_of(before[0])) {
    if (tag == Tag::tensor) return compare_tensors(a, before[0], b, now[0]);
    const bool is_same = tag == Tag::text
                             ? text_of(a, before) == text_of(b, now)
                             : std::equal(before.begin(), before.end(), now.begin(), now.end());
    if (is_same) return std::nullopt;
  }
  return Change{"", from_to(text_of(a, before), text_of(b, now))};
}

// What the arguments of an operator are called, one after the other.
class ArgumentNames {
 public:
  std::string next(Tag tag) {
    if (tag == Tag::outputs) is_result_ = true;
    if (tag != Tag::tensor) return "number " + std::to_string(++numbers_);
    return is_result_ ? "result " + std::to_string(++results_)
                      : "operand " + std::to_string(++operands_);
  }

 private:
  bool is_result_ = false;
  int operands_ = 0, numbers_ = 0, results_ = 0;
};

std::vector<std::span<const uint64_t>> arguments_of(const Segment& s, size_t op) {
  std::vector<std::span<const uint64_t>> arguments;
  wire::for_each_argument(
      words_of(s, op), [&](std::span<const uint64_t> argument) { arguments.push_back(argument); });
  return arguments;
}

struct Difference {
  std::string what, change;
};

std::optional<Difference> compare_ops(const Segment& a, const Segment& b, size_t op) {
  const std::string &was = a.names[a.op_name[op]], &is = b.names[b.op_name[op]];
  if (was != is) return Difference{"other operators from " + is + " on", from_to(was, is)};
  const auto before = arguments_of(a, op), now = arguments_of(b, op);
  ArgumentNames names;
  for (size_t i = 0; i < std::min(before.size(), now.size()); i++) {
    const std::string name = names.next(wire::tag_of(now[i][0])) + " of " + is;
    if (std::optional<Change> change = compare_arguments(a, before[i], b, now[i]))
      return Difference{(change->of.empty() ? "" : change->of + " of ") + name,
                        change->before_to_now};
  }
  if (before.size() == now.size()) return std::nullopt;
  return Difference{"the number of arguments of " + is,
                    from_to(std::to_string(before.size()), std::to_string(now.size()))};
}

// Of two segments that are not the same.
Difference compare(const Segment& a, const Segment& b) {
  for (size_t op = 0; op < std::min(a.op_count(), b.op_count()); op++)
    if (std::optional<Difference> difference = compare_ops(a, b, op)) return *difference;
  return {"where the segment ends",
          from_to(std::to_string(a.op_count()) + " operators", std::to_string(b.op_count()))};
}

}  // namespace

const RecompileReasons::Known* RecompileReasons::most_alike(const Known& now) const {
  const Known* best = nullptr;
  std::pair<size_t, size_t> best_score = {0, 0};
  for (const Known& known : known_) {
    const size_t common = std::min(known.names.size(), now.names.size());
    size_t names = 0, same = 0;
    for (; names < common && known.names[names] == now.names[names]; names++)
      same += known.signatures[names] == now.signatures[names];
    if (names * 2 < common) continue;
    // The one that ends alike first.
    names += known.names.size() == now.names.size() && names == common;
    if (std::pair(names, same) > best_score) best_score = {names, same}, best = &known;
  }
  return best;
}

void RecompileReasons::keep(Known segment) {
  words_ += segment.segment.words.size();
  known_.push_front(std::move(segment));
  while (known_.size() > kKnownMax || (words_ > kWordsMax && known_.size() > 1)) {
    words_ -= known_.back().segment.words.size();
    known_.pop_back();
  }
}

void RecompileReasons::note(const Segment& segment, uint64_t step) {
  if (segment.op_count() == 0) return;
  Known now = {segment, {}, {}};
  for (size_t op = 0; op < segment.op_count(); op++) {
    now.names.push_back(hash_of(segment.names[segment.op_name[op]]));
    now.signatures.push_back(signature_of(segment, op));
  }
  const Known* before = most_alike(now);
  Difference d = {"nothing like it before", "begins with " + segment.names[segment.op_name[0]]};
  if (before != nullptr) d = compare(before->segment, segment);
  if (reasons_.size() >= kReasonsMax && !reasons_.contains(d.what)) d.what = kManyReasons;
  Reason& reason = reasons_[d.what];
  reason.segments++;
  reason.ops += segment.op_count();
  reason.last_step = step;
  reason.change = std::move(d.change);
  keep(std::move(now));
}

}  // namespace moai::frontend
