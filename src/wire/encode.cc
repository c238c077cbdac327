// Structs -> FlatBuffers. One function a message.
#include "src/wire/codec.h"

namespace moai::wire {
namespace {

template <class T>
Bytes finish(Builder& b, Offset<T> root) {
  b.Finish(root);
  const auto* data = reinterpret_cast<const std::byte*>(b.GetBufferPointer());
  return Bytes(data, data + b.GetSize());
}

template <class T>
auto vec(Builder& b, const std::vector<T>& v) {
  return b.CreateVector(v);
}
auto str(Builder& b, const std::string& s) { return b.CreateString(s); }
auto bytes(Builder& b, const Bytes& v) {
  return b.CreateVector(reinterpret_cast<const uint8_t*>(v.data()), v.size());
}
auto dims(Builder& b, const Shape& s) { return b.CreateVector(s.begin(), static_cast<size_t>(s.rank())); }

uint8_t flags_of(const View& v) {
  return static_cast<uint8_t>((v.is_conj ? 1 : 0) | (v.is_neg ? 2 : 0));
}

}  // namespace

Bytes encode(const Hello& m) {
  Builder b;
  auto version = str(b, m.version), command = str(b, m.command), device = str(b, m.device);
  return finish(b, fb::CreateHello(b, m.protocol, version, command, m.pid, m.memory_bytes, device));
}

Bytes encode(const Ops& m) {
  const Segment& s = m.part;
  Builder b(s.words.size() * 8 + 1024);
  std::vector<uint64_t> slot_bytes;
  std::vector<uint8_t> slot_fresh, dtype, flags, rank;
  std::vector<int64_t> offset, view_dims;
  for (const Slot& slot : s.slots) {
    slot_bytes.push_back(slot.bytes);
    slot_fresh.push_back(slot.is_fresh);
  }
  for (const View& v : s.views) {
    dtype.push_back(static_cast<uint8_t>(v.dtype));
    flags.push_back(flags_of(v));
    rank.push_back(static_cast<uint8_t>(v.sizes.rank()));
    offset.push_back(v.offset);
    view_dims.insert(view_dims.end(), v.sizes.begin(), v.sizes.end());
    view_dims.insert(view_dims.end(), v.strides.begin(), v.strides.end());
  }
  Packed names = pack(s.names), texts = pack(s.texts);
  auto f1 = vec(b, names.text);
  auto f2 = vec(b, names.ends);
  auto f3 = vec(b, texts.text);
  auto f4 = vec(b, texts.ends);
  auto f5 = vec(b, slot_bytes);
  auto f6 = vec(b, slot_fresh);
  auto f7 = vec(b, dtype);
  auto f8 = vec(b, flags);
  auto f9 = vec(b, rank);
  auto f10 = vec(b, offset);
  auto f11 = vec(b, view_dims);
  auto f12 = vec(b, s.op_name);
  auto f13 = vec(b, s.op_end);
  auto f14 = vec(b, s.words);
  return finish(b, fb::CreateOps(b, m.first_op, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14,
                                 s.scalar_count));
}

Bytes encode(const Execute& m) {
  Builder b;
  std::vector<uint32_t> slots;
  std::vector<uint64_t> ids;
  for (const auto& [slot, id] : m.bindings) {
    slots.push_back(slot);
    ids.push_back(id);
  }
  auto f1 = vec(b, slots);
  auto f2 = vec(b, ids);
  auto f3 = vec(b, m.live_out);
  auto f4 = vec(b, m.scalars);
  auto f5 = vec(b, m.deaths);
  return finish(b, fb::CreateExecute(b, m.segment.hi, m.segment.lo, m.first_fresh_id, m.is_whole, f1, f2, f3,
                                     f4, f5));
}

Bytes encode(const SegmentDef& m) {
  Builder b;
  return finish(b, fb::CreateSegmentDef(b, m.segment.hi, m.segment.lo));
}

Bytes encode(const Read& m) {
  Builder b;
  auto sizes = dims(b, m.view.sizes), strides = dims(b, m.view.strides);
  return finish(b, fb::CreateRead(b, m.storage, static_cast<uint8_t>(m.view.dtype), flags_of(m.view),
                                  m.view.offset, sizes, strides, m.tag, m.window, m.offset));
}

Bytes encode(const Upload& m) {
  Builder b;
  auto data = bytes(b, m.data);
  return finish(b, fb::CreateUpload(b, m.storage, m.bytes, m.tag, m.window, m.offset, data));
}

Bytes encode(const WindowWant& m) {
  Builder b;
  return finish(b, fb::CreateWindowWant(b, m.bytes));
}
Bytes encode(const Sync& m) {
  Builder b;
  return finish(b, fb::CreateSync(b, m.tag, m.plans));
}
Bytes encode(const EventRecord& m) {
  Builder b;
  return finish(b, fb::CreateEventRecord(b, m.id));
}
Bytes encode(const ErrorSeen& m) {
  Builder b;
  return finish(b, fb::CreateErrorSeen(b, m.seq));
}
Bytes encode(const Hints& m) {
  Builder b;
  auto key = str(b, m.key), value = str(b, m.value);
  return finish(b, fb::CreateHints(b, key, value));
}

Bytes encode(const Done& m) {
  Builder b;
  std::vector<uint64_t> ids, ns;
  for (const auto& [id, at] : m.events) {
    ids.push_back(id);
    ns.push_back(at);
  }
  auto f1 = vec(b, ids);
  auto f2 = vec(b, ns);
  return finish(b, fb::CreateDone(b, m.seq, m.busy_ns, m.live_bytes, m.peak_bytes, m.queue_depth, f1, f2,
                                  m.plans_built, m.kernels_built, m.plan_hits, m.run_allocations));
}

Bytes encode(const Data& m) {
  Builder b;
  auto data = bytes(b, m.data);
  return finish(b, fb::CreateData(b, m.tag, data));
}
Bytes encode(const WindowGrant& m) {
  Builder b;
  return finish(b, fb::CreateWindowGrant(b, m.handle, m.bytes));
}
Bytes encode(const WindowFree& m) {
  Builder b;
  return finish(b, fb::CreateWindowFree(b, m.handle, m.offset, m.bytes));
}
Bytes encode(const NeedSegment& m) {
  Builder b;
  return finish(b, fb::CreateNeedSegment(b, m.segment.hi, m.segment.lo, m.seq));
}
Bytes encode(const Error& m) {
  Builder b;
  auto text = str(b, m.text);
  return finish(b, fb::CreateError(b, m.code, m.is_sticky, m.segment_seq, m.op_index, text));
}
Bytes encode(const Note& m) {
  Builder b;
  auto key = str(b, m.key), text = str(b, m.text);
  return finish(b, fb::CreateNote(b, key, text));
}

Bytes encode(const OpTable& m) {
  Builder b;
  Packed names = pack(m.names);
  auto f1 = vec(b, names.text);
  auto f2 = vec(b, names.ends);
  auto f3 = vec(b, m.dtype_masks);
  return finish(b, fb::CreateOpTable(b, f1, f2, f3));
}

Bytes encode(const Stats& m) {
  Builder b;
  auto notes = str(b, m.notes);
  return finish(b, fb::CreateStats(b, m.busy_ns, m.bytes, notes));
}

Bytes encode(const StatusReply& m) {
  Builder b;
  std::vector<int64_t> pid;
  std::vector<uint64_t> used, busy, id;
  std::vector<uint32_t> device;
  std::vector<std::string> commands;
  for (const JobStatus& j : m.jobs) {
    pid.push_back(j.pid);
    used.push_back(j.bytes);
    busy.push_back(j.busy_ns);
    device.push_back(j.device);
    id.push_back(j.job);
    commands.push_back(j.command);
  }
  Packed command = pack(commands), notes = pack(m.notes);
  auto f1 = str(b, m.version);
  auto f2 = str(b, m.device);
  auto f3 = str(b, m.flavor);
  auto f4 = vec(b, pid);
  auto f5 = vec(b, used);
  auto f6 = vec(b, busy);
  auto f7 = vec(b, device);
  auto f8 = vec(b, id);
  auto f9 = vec(b, command.text);
  auto f10 = vec(b, command.ends);
  auto f11 = vec(b, notes.text);
  auto f12 = vec(b, notes.ends);
  return finish(b, fb::CreateStatusReply(b, f1, f2, f3, m.memory_bytes, m.used_bytes, m.utilization_percent,
                                         f4, f5, f6, f7, f8, f9, f10, f11, f12));
}

}  // namespace moai::wire
