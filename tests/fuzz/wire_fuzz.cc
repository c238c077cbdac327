// Peer bytes -> messages. The first byte chooses the message; work is bounded by the size of the input.
#include <cstdlib>

#include "src/wire/messages.h"
#include "src/wire/reader.h"

using namespace moai;
using namespace moai::wire;

namespace {

// Elements of a decoded segment can not be more than the bytes they came from.
void check_bound(const Segment& s, size_t bytes) {
  size_t elements = s.words.size() + s.op_name.size() + s.op_end.size() + s.slots.size() + s.views.size() +
                    s.names.size() + s.texts.size();
  if (elements > bytes) std::abort();
}

template <class M>
void one(Span bytes) {
  (void)decode<M>(bytes);
}

void segment(Span bytes) {
  auto m = decode<Ops>(bytes);
  if (!m.ok()) return;
  check_bound(m->part, bytes.size());
  if (!verify(m->part).ok()) return;
  uint32_t lifted = 0;
  for (size_t op = 0; op < m->part.op_count(); op++) {
    ArgReader r(m->part, op, &lifted);
    while (r.peek() != Tag::outputs && !r.at_end() && !r.failed()) {
      switch (r.peek()) {
        case Tag::tensor_list: r.tensors(); break;
        case Tag::integer: case Tag::integer_wide: r.integer(); break;
        case Tag::integer_list: r.integers(); break;
        case Tag::text: r.text(); break;
        case Tag::rng: r.rng(); break;
        case Tag::scalar_list: r.scalars(); break;
        case Tag::real_list: return;
        case Tag::real: case Tag::scalar_int: case Tag::scalar_real: case Tag::scalar_bool: r.scalar(); break;
        default: r.tensor(); break;
      }
    }
    if (!r.failed()) r.outputs();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  // A copy of its own: FlatBuffers wants alignment, and reads beyond its end are then seen.
  Bytes copy(reinterpret_cast<const std::byte*>(data) + 1, reinterpret_cast<const std::byte*>(data) + size);
  static constexpr void (*kDecoders[])(Span) = {
      segment, one<Execute>, one<Hello>, one<Read>, one<Upload>, one<Done>, one<Error>, one<OpTable>,
      one<StatusReply>, one<Data>, one<Hints>, one<NeedSegment>, one<SegmentDef>, one<Sync>, one<Note>};
  kDecoders[data[0] % (sizeof kDecoders / sizeof *kDecoders)](copy);
  return 0;
}
