#include "src/frontend/recorded_op.h"

#include "src/frontend/intern.h"
#include "src/wire/arguments.h"

namespace moai::frontend {

uint64_t signature_of(const wire::Segment& segment, size_t op) {
  uint64_t h = hash_of(segment.names[segment.op_name[op]]);
  const auto add = [&](uint64_t word) {
    h = fold_multiply(h ^ word, 0x9E3779B97F4A7C15ull) + 0xD1B54A32D192ED03ull;
  };
  wire::for_each_argument(words_of(segment, op), [&](std::span<const uint64_t> entry) {
    switch (wire::tag_of(entry[0])) {
      case wire::Tag::tensor:
        add(hash_of(ViewRef(segment.views[wire::view_of(entry[0])])));
        add(segment.slots[wire::slot_of(entry[0])].bytes);
        break;
      case wire::Tag::text: {
        const auto at = static_cast<size_t>(wire::payload_of(entry[0]));
        add(hash_of(segment.texts[at]));
        break;
      }
      default:
        for (uint64_t word : entry) add(word);
    }
  });
  return h;
}

}  // namespace moai::frontend
