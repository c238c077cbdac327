// Structs -> FlatBuffers. One function a message.
#include <memory>

#include "src/wire/codec.h"

namespace moai::wire {
namespace {

template <class T>
auto vec(Builder& b, const std::vector<T>& v) {
  return b.CreateVector(v);
}
// One column of a list of structs: no vector in between.
template <class T, class List, class Field>
auto column(Builder& b, const List& list, Field field) {
  T* to = nullptr;
  auto offset = b.CreateUninitializedVector<T>(list.size(), &to);
  for (size_t i = 0; i < list.size(); i++) to[i] = static_cast<T>(field(list[i]));
  return Offset<flatbuffers::Vector<T>>(offset);
}
auto str(Builder& b, const std::string& s) { return b.CreateString(s); }
auto bytes(Builder& b, const Bytes& v) {
  return b.CreateVector(reinterpret_cast<const uint8_t*>(v.data()), v.size());
}
auto dims(Builder& b, const Shape& s) {
  return b.CreateVector(s.begin(), static_cast<size_t>(s.rank()));
}

uint8_t flags_of(const View& v) {
  return static_cast<uint8_t>((v.is_conj ? 1 : 0) | (v.is_neg ? 2 : 0));
}

void build(Builder& b, const Hello& m) {
  auto version = str(b, m.version), command = str(b, m.command), device = str(b, m.device);
  b.Finish(fb::CreateHello(b, m.protocol, version, command, m.pid, m.memory_bytes, device));
}

void build(Builder& b, const Ops& m) {
  const Segment& s = m.part;
  std::vector<int64_t> view_dims;
  for (const View& v : s.views) {
    view_dims.insert(view_dims.end(), v.sizes.begin(), v.sizes.end());
    view_dims.insert(view_dims.end(), v.strides.begin(), v.strides.end());
  }
  Packed names = pack(s.names), texts = pack(s.texts);
  auto f1 = vec(b, names.text);
  auto f2 = vec(b, names.ends);
  auto f3 = vec(b, texts.text);
  auto f4 = vec(b, texts.ends);
  auto f5 = column<uint64_t>(b, s.slots, [](const Slot& slot) { return slot.bytes; });
  auto f6 = column<uint8_t>(b, s.slots, [](const Slot& slot) { return slot.is_fresh; });
  auto f7 = column<uint8_t>(b, s.views, [](const View& v) { return v.dtype; });
  auto f8 = column<uint8_t>(b, s.views, [](const View& v) { return flags_of(v); });
  auto f9 = column<uint8_t>(b, s.views, [](const View& v) { return v.sizes.rank(); });
  auto f10 = column<int64_t>(b, s.views, [](const View& v) { return v.offset; });
  auto f11 = vec(b, view_dims);
  auto f12 = vec(b, s.op_name);
  auto f13 = vec(b, s.op_end);
  auto f14 = vec(b, s.words);
  b.Finish(fb::CreateOps(b, m.first_op, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14,
                         s.scalar_count));
}

void build(Builder& b, const Execute& m) {
  auto f1 = column<uint32_t>(b, m.bindings, [](const auto& binding) { return binding.first; });
  auto f2 = column<uint64_t>(b, m.bindings, [](const auto& binding) { return binding.second; });
  auto f3 = vec(b, m.live_out);
  auto f4 = vec(b, m.scalars);
  auto f5 = vec(b, m.deaths);
  b.Finish(fb::CreateExecute(b, m.segment.hi, m.segment.lo, m.first_fresh_id, m.is_whole, f1, f2,
                             f3, f4, f5));
}

void build(Builder& b, const SegmentDef& m) {
  b.Finish(fb::CreateSegmentDef(b, m.segment.hi, m.segment.lo));
}

void build(Builder& b, const Read& m) {
  auto sizes = dims(b, m.view.sizes), strides = dims(b, m.view.strides);
  b.Finish(fb::CreateRead(b, m.storage, static_cast<uint8_t>(m.view.dtype), flags_of(m.view),
                          m.view.offset, sizes, strides, m.tag, m.window, m.offset));
}

void build(Builder& b, const Upload& m) {
  auto data = bytes(b, m.data);
  b.Finish(fb::CreateUpload(b, m.storage, m.bytes, m.tag, m.window, m.offset, data));
}

void build(Builder& b, const WindowWant& m) { b.Finish(fb::CreateWindowWant(b, m.bytes)); }
void build(Builder& b, const Sync& m) { b.Finish(fb::CreateSync(b, m.tag, m.plans)); }
void build(Builder& b, const EventRecord& m) { b.Finish(fb::CreateEventRecord(b, m.id)); }
void build(Builder& b, const ErrorSeen& m) { b.Finish(fb::CreateErrorSeen(b, m.seq)); }
void build(Builder& b, const Hints& m) {
  auto key = str(b, m.key), value = str(b, m.value);
  b.Finish(fb::CreateHints(b, key, value));
}

void build(Builder& b, const Done& m) {
  auto f1 = column<uint64_t>(b, m.events, [](const auto& event) { return event.first; });
  auto f2 = column<uint64_t>(b, m.events, [](const auto& event) { return event.second; });
  b.Finish(fb::CreateDone(b, m.seq, m.busy_ns, m.live_bytes, m.peak_bytes, m.queue_depth, f1, f2,
                          m.plans_built, m.kernels_built, m.plan_hits, m.run_allocations,
                          m.frames_received, m.allocations, m.mappings, m.planning_ns,
                          m.plans_resized));
}

void build(Builder& b, const Data& m) {
  auto data = bytes(b, m.data);
  b.Finish(fb::CreateData(b, m.tag, data));
}
void build(Builder& b, const WindowGrant& m) {
  b.Finish(fb::CreateWindowGrant(b, m.handle, m.bytes));
}
void build(Builder& b, const WindowFree& m) {
  b.Finish(fb::CreateWindowFree(b, m.handle, m.offset, m.bytes));
}
void build(Builder& b, const NeedSegment& m) {
  b.Finish(fb::CreateNeedSegment(b, m.segment.hi, m.segment.lo, m.seq));
}
void build(Builder& b, const Error& m) {
  auto text = str(b, m.text);
  b.Finish(fb::CreateError(b, m.code, m.is_sticky, m.segment_seq, m.op_index, text));
}
void build(Builder& b, const Note& m) {
  auto key = str(b, m.key), text = str(b, m.text);
  b.Finish(fb::CreateNote(b, key, text));
}

void build(Builder& b, const OpTable& m) {
  Packed names = pack(m.names);
  auto f1 = vec(b, names.text);
  auto f2 = vec(b, names.ends);
  auto f3 = vec(b, m.dtype_masks);
  b.Finish(fb::CreateOpTable(b, f1, f2, f3));
}

void build(Builder& b, const Stats& m) {
  auto notes = str(b, m.notes);
  b.Finish(fb::CreateStats(b, m.busy_ns, m.bytes, notes));
}

void build(Builder& b, const StatusReply& m) {
  std::vector<std::string> commands;
  for (const JobStatus& j : m.jobs) commands.push_back(j.command);
  Packed command = pack(commands), notes = pack(m.notes);
  auto f1 = str(b, m.version);
  auto f2 = str(b, m.device);
  auto f3 = str(b, m.flavor);
  auto f4 = column<int64_t>(b, m.jobs, [](const JobStatus& j) { return j.pid; });
  auto f5 = column<uint64_t>(b, m.jobs, [](const JobStatus& j) { return j.bytes; });
  auto f6 = column<uint64_t>(b, m.jobs, [](const JobStatus& j) { return j.busy_ns; });
  auto f7 = column<uint32_t>(b, m.jobs, [](const JobStatus& j) { return j.device; });
  auto f8 = column<uint64_t>(b, m.jobs, [](const JobStatus& j) { return j.job; });
  auto f9 = vec(b, command.text);
  auto f10 = vec(b, command.ends);
  auto f11 = vec(b, notes.text);
  auto f12 = vec(b, notes.ends);
  b.Finish(fb::CreateStatusReply(b, f1, f2, f3, m.memory_bytes, m.used_bytes, m.utilization_percent,
                                 f4, f5, f6, f7, f8, f9, f10, f11, f12));
}

Span built(const Builder& b) {
  return {reinterpret_cast<const std::byte*>(b.GetBufferPointer()), b.GetSize()};
}

}  // namespace

struct Encoder::State {
  Builder builder;
};

Encoder::Encoder() : state_(std::make_unique<State>()) {}
Encoder::~Encoder() = default;

#define X(M)                             \
  Span Encoder::encode(const M& m) {     \
    state_->builder.Clear();             \
    build(state_->builder, m);           \
    return built(state_->builder);       \
  }                                      \
  Bytes encode(const M& m) {             \
    Builder b;                           \
    build(b, m);                         \
    Span bytes = built(b);               \
    return {bytes.begin(), bytes.end()}; \
  }
MOAI_WIRE_MESSAGES(X)
#undef X

}  // namespace moai::wire
