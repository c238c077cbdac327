#include "src/engine/segment_numbers.h"

#include <cstring>
#include <string_view>

#include "src/wire/arguments.h"

namespace moai::engine {
namespace {

using wire::Tag;

// Calls f(word, is_payload) for each word that holds a number: the payload of its first word, or a
// raw word behind it.
template <class Words, class F>
void for_each_integer(Words& words, F&& f) {
  wire::for_each_argument(words, [&](auto argument) {
    const Tag tag = wire::tag_of(argument[0]);
    if (tag == Tag::integer) f(argument[0], true);
    if (tag == Tag::integer_wide || tag == Tag::integer_list)
      for (auto& word : argument.subspan(1)) f(word, false);
  });
}

void add_text(std::vector<uint64_t>& to, std::string_view text) {
  to.push_back(text.size());
  for (size_t i = 0; i < text.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + i, std::min<size_t>(8, text.size() - i));
    to.push_back(word);
  }
}

}  // namespace

std::vector<int64_t> numbers_of(const wire::Segment& segment) {
  std::vector<int64_t> numbers;
  numbers.reserve(segment.slots.size() + 8 * segment.views.size() + segment.words.size() / 4);
  for (const wire::Slot& slot : segment.slots) numbers.push_back(static_cast<int64_t>(slot.bytes));
  for (const wire::View& view : segment.views) {
    numbers.push_back(view.offset);
    numbers.insert(numbers.end(), view.sizes.begin(), view.sizes.end());
    numbers.insert(numbers.end(), view.strides.begin(), view.strides.end());
  }
  for_each_integer(segment.words, [&](uint64_t word, bool is_payload) {
    numbers.push_back(is_payload ? wire::payload_of(word) : static_cast<int64_t>(word));
  });
  return numbers;
}

std::vector<uint64_t> skeleton_of(const wire::Segment& segment) {
  std::vector<uint64_t> skeleton = {segment.names.size(), segment.texts.size(),
                                    segment.slots.size(), segment.views.size(),
                                    segment.op_count(),   segment.scalar_count};
  skeleton.reserve(skeleton.size() + 4 * segment.names.size() + segment.slots.size() +
                   segment.views.size() + 2 * segment.op_count() + segment.words.size());
  for (const std::string& name : segment.names) add_text(skeleton, name);
  for (const std::string& text : segment.texts) add_text(skeleton, text);
  for (const wire::Slot& slot : segment.slots) skeleton.push_back(slot.is_fresh);
  for (const wire::View& view : segment.views)
    skeleton.push_back(static_cast<uint64_t>(view.dtype) | uint64_t{view.is_conj} << 8 |
                       uint64_t{view.is_neg} << 9 | static_cast<uint64_t>(view.sizes.rank()) << 16);
  for (size_t op = 0; op < segment.op_count(); op++) {
    skeleton.push_back(segment.op_name[op]);
    skeleton.push_back(segment.op_end[op]);
  }
  const size_t words = skeleton.size();
  skeleton.insert(skeleton.end(), segment.words.begin(), segment.words.end());
  std::span rest = std::span(skeleton).subspan(words);
  for_each_integer(rest, [](uint64_t& word, bool is_payload) {
    word = is_payload ? wire::make_word(Tag::integer) : 0;
  });
  return skeleton;
}

StatusOr<wire::Segment> with_numbers(const wire::Segment& segment,
                                     std::span<const int64_t> numbers) {
  wire::Segment out = segment;
  size_t at = 0;
  bool fits = true;
  for (wire::Slot& slot : out.slots) {
    fits &= numbers[at] >= 0;
    slot.bytes = static_cast<uint64_t>(numbers[at++]);
  }
  for (wire::View& view : out.views) {
    view.offset = numbers[at++];
    for (int64_t& size : view.sizes) size = numbers[at++];
    for (int64_t& stride : view.strides) stride = numbers[at++];
  }
  for_each_integer(out.words, [&](uint64_t& word, bool is_payload) {
    const int64_t number = numbers[at++];
    word = is_payload ? wire::make_word(Tag::integer, number) : static_cast<uint64_t>(number);
    fits &= !is_payload || wire::payload_of(word) == number;
  });
  if (!fits) return invalid("[plan] a number does not fit its place");
  MOAI_RETURN_IF_ERROR(wire::verify(out));
  return out;
}

}  // namespace moai::engine
