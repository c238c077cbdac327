// A segment: the unit of identity and of planning. Columns of 64-bit words, not a table an op.
//
// Every op is: name, argument words in schema order, then one outputs word and its tensor words. An
// argument word holds its tag in the low 8 bits and a payload of 56 bits above. See format.md.
#pragma once
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "moai/dtype.h"
#include "moai/ids.h"
#include "moai/limits.h"
#include "moai/shape.h"
#include "moai/status.h"

namespace moai::wire {

enum class Tag : uint8_t {
  none = 0,          // None, or an undefined tensor
  tensor = 1,        // payload: slot in bits 0..27, view in bits 28..55
  tensor_list = 2,   // payload: count; count words of tensor or none follow
  integer = 3,       // payload: signed 56-bit; also bool (0, 1), dtype (DType), enum-like ints
  integer_wide = 4,  // next word: the value
  integer_list = 5,  // payload: count; count raw words follow
  real = 6,          // structural double: next word
  real_list = 7,     // payload: count; count raw words (doubles) follow
  scalar_int = 8,    // lifted: value is the next entry of `scalars` (int64)
  scalar_real = 9,   // lifted: value is the next entry of `scalars` (double)
  scalar_bool = 10,  // lifted: value is the next entry of `scalars` (0 or 1)
  scalar_list = 11,  // payload: count | kind << 32 | is_uniform << 40 (kind: Tag of an entry);
                     // uniform: one entry of `scalars` stands for all, else count entries
  text = 12,         // payload: index in `texts`
  rng = 13,      // two lifted int64: seed, offset (a generator argument; also where it was None)
  outputs = 14,  // payload: count; count tensor words (or none) follow: what the op writes
};

constexpr Tag tag_of(uint64_t word) { return static_cast<Tag>(word & 0xff); }
constexpr int64_t payload_of(uint64_t word) {  // signed
  return static_cast<int64_t>(word) >> 8;
}
constexpr uint64_t make_word(Tag tag, int64_t payload = 0) {
  return static_cast<uint64_t>(payload) << 8 | static_cast<uint8_t>(tag);
}
constexpr uint64_t make_tensor(uint32_t slot, uint32_t view) {
  return make_word(Tag::tensor, static_cast<int64_t>(uint64_t{view} << 28 | slot));
}

// Words that stand behind the first of an argument, as a peer says: negative or beyond the op if it
// lies.
constexpr int64_t words_behind(uint64_t word) {
  switch (tag_of(word)) {
    case Tag::integer_wide:
    case Tag::real: return 1;
    case Tag::tensor_list:
    case Tag::integer_list:
    case Tag::real_list:
    case Tag::outputs: return payload_of(word);
    default: return 0;
  }
}
// What a scalar_list says.
struct ScalarList {
  uint64_t count = 0, entries = 0;  // numbers that are meant; those in `scalars`
  Tag kind = Tag::none;             // of an entry
};
constexpr ScalarList scalar_list_of(uint64_t word) {
  const auto payload = static_cast<uint64_t>(payload_of(word));
  const uint64_t count = payload & 0xffffffff;
  const bool is_uniform = payload >> 40 & 1;
  return {count, is_uniform && count > 1 ? 1 : count, static_cast<Tag>(payload >> 32 & 0xff)};
}
constexpr uint64_t make_scalar_list(uint64_t count, Tag kind, bool is_uniform) {
  const uint64_t payload = count | static_cast<uint64_t>(kind) << 32 | uint64_t{is_uniform} << 40;
  return make_word(Tag::scalar_list, static_cast<int64_t>(payload));
}
// Entries of `scalars` that an argument takes.
constexpr uint64_t lifted_by(uint64_t word) {
  switch (tag_of(word)) {
    case Tag::scalar_int:
    case Tag::scalar_real:
    case Tag::scalar_bool: return 1;
    case Tag::scalar_list: return scalar_list_of(word).entries;
    case Tag::rng: return 2;
    default: return 0;
  }
}

constexpr uint32_t slot_of(uint64_t word) { return (word >> 8) & 0xfffffff; }
constexpr uint32_t view_of(uint64_t word) { return (word >> 36) & 0xfffffff; }

// How a tensor looks at its storage, in elements of dtype.
struct View {
  DType dtype = DType::f32;
  bool is_conj = false, is_neg = false;
  int64_t offset = 0;
  Shape sizes, strides;
  bool operator==(const View&) const = default;
};

struct Slot {
  uint64_t bytes = 0;
  bool is_fresh = false;  // its storage appears here first; else it is bound
  bool operator==(const Slot&) const = default;
};

struct Segment {
  SegmentId id;
  std::vector<std::string> names;  // ATen name and overload: "add.Tensor"; in-place and out= forms
                                   // use the functional name where it has the same arguments
  std::vector<std::string> texts;
  std::vector<Slot> slots;  // by first appearance
  std::vector<View> views;
  std::vector<uint32_t> op_name;  // per op: index in names
  std::vector<uint32_t>
      op_end;  // per op: end (exclusive) of its words; begins where the last one ended
  std::vector<uint64_t> words;
  uint32_t scalar_count = 0;  // lifted values that an execution brings

  size_t op_count() const { return op_name.size(); }
};

// Whether every index, count and view of it is in bounds (a view lies inside its slot); reads each
// word once.
Status verify(const Segment&);

// Lifted values, in order, as raw 64-bit words: int64 or the bits of a double.
using Scalars = std::vector<uint64_t>;

}  // namespace moai::wire
