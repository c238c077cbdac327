// The arguments in the words of an operator, one by one.
#pragma once
#include <span>

#include "src/wire/segment.h"

namespace moai::wire {

// Calls f(entry) for each argument: a span of its tagged word and the raw words behind it. Tensors
// of a list and outputs are entries of their own. Requires: sound words.
template <class Words, class F>
void for_each_argument(Words&& words, F&& f) {
  for (auto rest = std::span(words); !rest.empty();) {
    const Tag tag = tag_of(rest[0]);
    const bool is_of_tensors = tag == Tag::tensor_list || tag == Tag::outputs;
    const size_t size = is_of_tensors ? 1 : 1 + static_cast<size_t>(words_behind(rest[0]));
    f(rest.first(size));
    rest = rest.subspan(size);
  }
}

}  // namespace moai::wire
