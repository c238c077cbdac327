// Peer bytes -> messages. The first byte chooses the message; work is bounded by the size of the
// input.
#include <cstdlib>

#include "src/wire/messages.h"
#include "src/wire/outbox.h"
#include "src/wire/reader.h"

using namespace moai;
using namespace moai::wire;

namespace {

size_t bytes_in(const std::vector<std::string>& texts) {
  size_t bytes = texts.size() * 4;
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

// The bytes that the vectors and texts of a message came from.
template <class M>
size_t weight(const M&) {
  return 0;
}
template <>
size_t weight(const Ops& m) {
  const Segment& s = m.part;
  return s.words.size() * 8 + s.op_name.size() * 4 + s.op_end.size() * 4 + s.slots.size() * 9 +
         s.views.size() * 11 + bytes_in(s.names) + bytes_in(s.texts);
}
template <>
size_t weight(const Execute& m) {
  return m.bindings.size() * 12 + m.live_out.size() * 4 + m.scalars.size() * 8 +
         m.deaths.size() * 8;
}
template <>
size_t weight(const Upload& m) {
  return m.data.size();
}
template <>
size_t weight(const Data& m) {
  return m.data.size();
}
template <>
size_t weight(const Done& m) {
  return m.events.size() * 16;
}
template <>
size_t weight(const OpTable& m) {
  return bytes_in(m.names) + m.dtype_masks.size() * 4;
}
template <>
size_t weight(const StatusReply& m) {
  size_t bytes = bytes_in(m.notes);
  for (const JobStatus& job : m.jobs) bytes += 36 + job.command.size();
  return bytes;
}

// Refused, or: no more than the bytes hold, the same in a message that was used before, and what it
// encodes to decodes to itself.
template <class M>
StatusOr<M> checked(Span bytes) {
  static M used;
  StatusOr<M> fresh = decode<M>(bytes);
  Status again = decode_into(bytes, used);
  if (again.code() != fresh.status().code()) std::abort();
  if (!fresh.ok()) return fresh;
  if (weight(*fresh) > bytes.size()) std::abort();
  Bytes encoded = encode(*fresh);
  if (encode(used) != encoded) std::abort();
  StatusOr<M> back = decode<M>(encoded);
  if (!back.ok() || encode(*back) != encoded) std::abort();
  return fresh;
}

template <class M>
void one(Span bytes) {
  (void)checked<M>(bytes);
}

// Every argument of every op, as a lowering would read it.
void read_all(const Segment& segment) {
  uint32_t lifted = 0;
  for (size_t op = 0; op < segment.op_count(); op++) {
    ArgReader r(segment, op, &lifted);
    while (r.peek() != Tag::outputs && !r.at_end() && !r.failed()) {
      switch (r.peek()) {
        case Tag::tensor_list: r.tensors(); break;
        case Tag::integer:
        case Tag::integer_wide: r.integer(); break;
        case Tag::integer_list: r.integers(); break;
        case Tag::text: r.text(); break;
        case Tag::rng: r.rng(); break;
        case Tag::scalar_list: r.scalars(); break;
        case Tag::real_list: return;
        case Tag::real:
        case Tag::scalar_int:
        case Tag::scalar_real:
        case Tag::scalar_bool: r.scalar(); break;
        default: r.tensor(); break;
      }
    }
    if (!r.failed()) r.outputs();
  }
}

void segment(Span bytes) {
  StatusOr<Ops> ops = checked<Ops>(bytes);
  if (ops.ok() && verify(ops->part).ok()) read_all(ops->part);
}

// A batch holds no more than its bytes, each message in place and aligned.
void batch(Span bytes) {
  size_t held = 0;
  (void)for_each_message(Kind::batch, bytes, [&](Kind, Span body) {
    held += kBatchHeadBytes + body.size();
    if (!body.empty() && reinterpret_cast<uintptr_t>(body.data()) % 8 != 0) std::abort();
    (void)decode<Execute>(body);
  });
  if (held > bytes.size()) std::abort();
}

}  // namespace

// tests/fuzz/make_corpus.py knows the order.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  // A copy of its own: FlatBuffers wants alignment, and reads beyond its end are then seen.
  Bytes copy(reinterpret_cast<const std::byte*>(data) + 1,
             reinterpret_cast<const std::byte*>(data) + size);
  static constexpr void (*kDecoders[])(Span) = {
      segment,          one<Execute>,   one<Hello>,       one<Read>,
      one<Upload>,      one<Done>,      one<Error>,       one<OpTable>,
      one<StatusReply>, one<Data>,      one<Hints>,       one<NeedSegment>,
      one<SegmentDef>,  one<Sync>,      one<Note>,        one<WindowWant>,
      one<EventRecord>, one<ErrorSeen>, one<WindowGrant>, one<WindowFree>,
      one<Stats>,       batch};
  kDecoders[data[0] % (sizeof kDecoders / sizeof *kDecoders)](copy);
  return 0;
}
