// A segment from a peer: every index, count and view in bounds. Reads each word once.
#include <string>

#include "src/wire/segment.h"

namespace moai::wire {
namespace {

Status bad(size_t op, const std::string& why) {
  return invalid("[wire] op " + std::to_string(op) + " of the segment " + why);
}

// Bytes of its storage that a view reaches, or -1 when it is malformed.
int64_t end_bytes(const View& v) {
  if (v.sizes.rank() != v.strides.rank() || v.offset < 0) return -1;
  int64_t last = v.offset, numel = 1;
  for (int d = 0; d < v.sizes.rank(); d++) {
    int64_t step = 0;
    if (v.sizes[d] < 0 || v.strides[d] < 0) return -1;
    if (__builtin_mul_overflow(numel, v.sizes[d], &numel)) return -1;
    if (v.sizes[d] == 0) continue;
    if (__builtin_mul_overflow(v.sizes[d] - 1, v.strides[d], &step) ||
        __builtin_add_overflow(last, step, &last))
      return -1;
  }
  if (numel == 0) return 0;
  int64_t bytes = 0, size = static_cast<int64_t>(size_of(v.dtype));
  if (__builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, size, &bytes))
    return -1;
  return bytes;
}

class Verifier {
 public:
  explicit Verifier(const Segment& s) : s_(s) {}

  Status run() {
    MOAI_RETURN_IF_ERROR(check_sizes());
    uint32_t begin = 0;
    for (size_t op = 0; op < s_.op_count(); op++) {
      if (s_.op_name[op] >= s_.names.size()) return bad(op, "has a name that is not there");
      if (s_.op_end[op] < begin || s_.op_end[op] > s_.words.size())
        return bad(op, "does not begin where the one before ended");
      op_ = op;
      at_ = begin;
      end_ = s_.op_end[op];
      MOAI_RETURN_IF_ERROR(check_op());
      begin = end_;
    }
    if (begin != s_.words.size())
      return invalid("[wire] the segment has words that belong to no op");
    if (scalars_ != s_.scalar_count)
      return invalid("[wire] the segment lifts " + std::to_string(scalars_) + " values but says " +
                     std::to_string(s_.scalar_count));
    return {};
  }

 private:
  Status check_sizes() {
    if (s_.op_count() > kSegmentOpsMax || s_.op_end.size() != s_.op_count() ||
        s_.slots.size() > kSegmentSlotsMax || s_.views.size() > kSegmentViewsMax ||
        s_.words.size() > kSegmentArgsMax)
      return invalid("[wire] the segment is larger than the limits allow");
    for (const Slot& slot : s_.slots)
      if (slot.bytes > kStorageBytesMax)
        return invalid("[wire] a storage of the segment is larger than 64 TiB");
    ends_.reserve(s_.views.size());
    for (const View& v : s_.views) {
      ends_.push_back(end_bytes(v));
      if (ends_.back() < 0)
        return invalid("[wire] a view of the segment has sizes or strides out of range");
    }
    return {};
  }

  Status check_op() {
    bool seen_outputs = false;
    while (at_ < end_) {
      uint64_t word = s_.words[at_++];
      if (seen_outputs) return bad(op_, "has words after its outputs");
      seen_outputs = tag_of(word) == Tag::outputs;
      MOAI_RETURN_IF_ERROR(check_word(word));
    }
    if (!seen_outputs) return bad(op_, "has no outputs word");
    return {};
  }

  Status check_word(uint64_t word) {
    const int64_t behind = words_behind(word);
    if (behind < 0 || behind > end_ - at_) return bad(op_, "has a list that is longer than the op");
    const uint32_t begin = at_;
    at_ += static_cast<uint32_t>(behind);
    switch (tag_of(word)) {
      case Tag::none:
      case Tag::integer:
      case Tag::integer_wide:
      case Tag::integer_list:
      case Tag::real:
      case Tag::real_list: return {};
      case Tag::tensor: return check_tensor(word);
      case Tag::tensor_list:
      case Tag::outputs: return check_tensors(begin);
      case Tag::scalar_int:
      case Tag::scalar_real:
      case Tag::scalar_bool:
      case Tag::rng: return lift(lifted_by(word));
      case Tag::scalar_list: return check_scalar_list(word);
      case Tag::text:
        if (static_cast<uint64_t>(payload_of(word)) >= s_.texts.size())
          return bad(op_, "has a text that is not there");
        return {};
    }
    return bad(op_, "has a word of unknown kind");
  }

  Status check_tensor(uint64_t word) {
    uint32_t slot = slot_of(word), view = view_of(word);
    if (slot >= s_.slots.size() || view >= s_.views.size())
      return bad(op_, "has a tensor whose slot or view is not there");
    if (static_cast<uint64_t>(ends_[view]) > s_.slots[slot].bytes)
      return bad(op_, "has a view that reaches beyond its storage");
    return {};
  }

  Status check_tensors(uint32_t begin) {  // to at_
    for (uint32_t at = begin; at < at_; at++) {
      uint64_t word = s_.words[at];
      if (tag_of(word) == Tag::none) continue;
      if (tag_of(word) != Tag::tensor)
        return bad(op_, "has a tensor list with something else in it");
      MOAI_RETURN_IF_ERROR(check_tensor(word));
    }
    return {};
  }

  Status check_scalar_list(uint64_t word) {
    const ScalarList list = scalar_list_of(word);
    if (list.kind != Tag::scalar_int && list.kind != Tag::scalar_real &&
        list.kind != Tag::scalar_bool)
      return bad(op_, "has a list of numbers of unknown kind");
    if (list.count > kSegmentSlotsMax) return bad(op_, "has a list of numbers that is too long");
    return lift(list.entries);
  }

  Status lift(uint64_t n) {
    scalars_ += n;
    if (scalars_ > s_.scalar_count) return bad(op_, "lifts more values than the segment says");
    return {};
  }

  const Segment& s_;
  std::vector<int64_t> ends_;
  size_t op_ = 0;
  uint32_t at_ = 0, end_ = 0;
  uint64_t scalars_ = 0;
};

}  // namespace

Status verify(const Segment& segment) { return Verifier(segment).run(); }

}  // namespace moai::wire
