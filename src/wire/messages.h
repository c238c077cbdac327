// The messages of a session, as structs. encode() writes FlatBuffers; decode_x() checks and reads
// them. Message kinds are the `kind` of a transport::Message. Values are stable: append only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "src/wire/segment.h"

namespace moai::wire {

inline constexpr uint32_t kProtocolVersion = 1;

enum class Kind : uint8_t {
  // client -> lead
  ops = 1,
  segment_end = 2,
  segment_def = 3,
  execute = 4,
  read = 5,
  upload = 6,
  window_want = 7,
  sync = 8,
  event_record = 9,
  error_seen = 10,
  hints = 11,
  close = 12,
  // lead -> client
  done = 32,
  data = 33,
  window_grant = 34,
  window_free = 35,
  window_revoke = 36,
  need_segment = 37,
  error = 38,
  note = 39,
  op_table = 40,
  // supervisor <-> worker, and status
  accept = 64,
  extent = 65,
  stats = 66,
  revoke = 67,
  end = 68,
  status_request = 69,
  status_reply = 70,
  // both ways: several messages in one (outbox.h)
  batch = 96,
};

struct Hello {  // both ways, inside the handshake
  uint32_t protocol = kProtocolVersion;
  std::string version;  // of moai
  std::string command;  // client: command line for moreh-smi
  int64_t pid = 0;
  uint64_t memory_bytes = 0;  // server: memory of the accelerator
  std::string device;         // server: kind and name
};

// A piece of a segment, in order: rows [first_op, first_op + n) of its columns. New names, texts,
// slots and views ride along; their counts only grow.
struct Ops {
  uint32_t first_op = 0;
  Segment part;  // id unset; op_end is relative to the whole segment
};

// What an execution brings. Fresh slots get ids first_fresh_id, +1, ... in slot order.
struct Execute {
  SegmentId segment;
  uint64_t first_fresh_id = 0;
  bool is_whole = true;  // bindings name every input slot; else only those that changed
  std::vector<std::pair<uint32_t, uint64_t>> bindings;  // (input slot, storage id)
  std::vector<uint32_t> live_out;  // slots alive at the cut, ascending; all others may vanish
  Scalars scalars;
  std::vector<uint64_t> deaths;  // storage ids that died since the last cut, after this execution
};
// segment_end: the Ops since the last cut form `segment`; define it and execute it. Same body as
// Execute. segment_def: the same Ops, define only; answers need_segment.
struct SegmentDef {
  SegmentId segment;
};

struct Read {
  uint64_t storage = 0;
  View view;
  uint64_t tag = 0;
  uint64_t window = 0, offset = 0;  // window 0: the bytes come inline in Data (any size)
};
struct Upload {
  uint64_t storage = 0, bytes = 0, tag = 0;
  uint64_t window = 0, offset = 0;  // window 0: inline
  std::vector<std::byte> data;
};
struct WindowWant {
  uint64_t bytes = 0;
};
struct Sync {
  uint64_t tag = 0;
  bool plans = false;
};  // plans: when no background work is left
struct EventRecord {
  uint64_t id = 0;
};
struct ErrorSeen {
  uint64_t seq = 0;
};
struct Hints {
  std::string key, value;
};

struct Done {
  uint64_t seq = 0;      // messages up to this one are finished (cumulative)
  uint64_t busy_ns = 0;  // since the session began
  uint64_t live_bytes = 0, peak_bytes = 0;
  uint32_t queue_depth = 0;
  std::vector<std::pair<uint64_t, uint64_t>> events;  // (id, ns on the server's clock)
  uint64_t plans_built = 0, kernels_built = 0, plan_hits = 0, run_allocations = 0;
  // Of the whole worker since it began: frames that came, calls of malloc and of mmap
  // (src/base/memory_counts.h).
  uint64_t frames_received = 0, allocations = 0, mappings = 0;
  uint64_t planning_ns = 0;    // from segments to loaded plans
  uint64_t plans_resized = 0;  // from plans of other sizes; not among plans_built
};
struct Data {
  uint64_t tag = 0;
  std::vector<std::byte> data;
};
struct WindowGrant {
  uint64_t handle = 0, bytes = 0;
};
struct WindowFree {
  uint64_t handle = 0, offset = 0, bytes = 0;
};
struct NeedSegment {
  SegmentId segment;
  uint64_t seq = 0;
};
struct Error {
  uint8_t code = 0;  // StatusCode
  bool is_sticky = false;
  uint64_t segment_seq = 0;  // message that failed
  uint32_t op_index = 0;     // in its segment; UINT32_MAX: not known
  std::string text;
};
struct Note {
  std::string key, text;
};
// Ops that the server lowers, with the dtypes (mask_of) of the first tensor operand it takes.
struct OpTable {
  std::vector<std::string> names;
  std::vector<uint32_t> dtype_masks;
};

// Supervisor and worker; `moai smi`.
struct Stats {
  uint64_t busy_ns = 0, bytes = 0;
  std::string notes;
};
struct JobStatus {
  int64_t pid = 0;
  std::string command;
  uint64_t bytes = 0, busy_ns = 0;
  uint32_t device = 0;
  uint64_t job = 0;
};
struct StatusReply {
  std::string version, device, flavor;
  uint64_t memory_bytes = 0, used_bytes = 0;
  uint32_t utilization_percent = 0;
  std::vector<JobStatus> jobs;
  std::vector<std::string> notes;
};

using Bytes = std::vector<std::byte>;
using Span = std::span<const std::byte>;

// clang-format off
#define MOAI_WIRE_MESSAGES(X) \
  X(Hello) X(Ops) X(Execute) X(SegmentDef) X(Read) X(Upload) X(WindowWant) X(Sync) \
  X(EventRecord) X(ErrorSeen) X(Hints) X(Done) X(Data) X(WindowGrant) X(WindowFree) \
  X(NeedSegment) X(Error) X(Note) X(OpTable) X(Stats) X(StatusReply)
// clang-format on

// Bytes encode(const X&); StatusOr<X> decode<X>(Span): refuses anything malformed with a sentence.
// Status decode_into(Span, X&) decodes into a message whose vectors keep their memory.
template <class M>
StatusOr<M> decode(Span);
#define X(M)                    \
  Bytes encode(const M&);       \
  Status decode_into(Span, M&); \
  template <>                   \
  StatusOr<M> decode<M>(Span);
MOAI_WIRE_MESSAGES(X)
#undef X

// Encodes into memory of its own that it keeps: what it returned holds until its next call.
class Encoder {
 public:
  Encoder();
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
#define X(M) Span encode(const M&);
  MOAI_WIRE_MESSAGES(X)
#undef X

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moai::wire
