// FlatBuffers -> structs. Peer bytes: verified, bounded, then copied out. Nothing here trusts a count.
#include "src/wire/codec.h"

namespace moai::wire {
namespace {

Status malformed(std::string_view message, std::string_view why) {
  return invalid("[wire] " + std::string(message) + " message is malformed: " + std::string(why));
}

// Reads the fields of one verified table and adds up what its vectors hold: FlatBuffers lets vectors share
// bytes, so their sum is checked against the buffer.
template <class T>
class In {
 public:
  In(std::string_view name, Span bytes) : name_(name), size_(bytes.size()) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    flatbuffers::Verifier verifier(data, bytes.size(), /*max_depth=*/8, /*max_tables=*/8);
    if (bytes.size() < 8 || bytes.size() > kMessageBytesMax || !verifier.VerifyBuffer<T>(nullptr)) return;
    table_ = flatbuffers::GetRoot<T>(data);
  }
  bool ok() const { return table_ != nullptr; }
  const T* operator->() const { return table_; }

  template <class E>
  std::vector<E> vec(const flatbuffers::Vector<E>* v) {
    if (!v || !count(v->size() * sizeof(E))) return {};
    return std::vector<E>(v->begin(), v->end());
  }
  Bytes bytes(const flatbuffers::Vector<uint8_t>* v) {
    if (!v || !count(v->size())) return {};
    const auto* p = reinterpret_cast<const std::byte*>(v->data());
    return Bytes(p, p + v->size());
  }
  std::string str(const flatbuffers::String* s) {
    if (!s || !count(s->size())) return {};
    return s->str();
  }
  std::vector<std::string> strings(const flatbuffers::Vector<uint8_t>* text,
                                   const flatbuffers::Vector<uint32_t>* ends) {
    std::vector<std::string> out;
    if (!ends || !count(ends->size() * 4) || !count(text ? text->size() : 0)) return out;
    uint32_t at = 0, size = text ? text->size() : 0;
    for (uint32_t end : *ends) {
      if (end < at || end > size) return fail("a text list that goes back or beyond its end"), out;
      out.emplace_back(reinterpret_cast<const char*>(text->data()) + at, end - at);
      at = end;
    }
    if (at != size) fail("a text list that is longer than its ends");
    return out;
  }
  Shape shape(const flatbuffers::Vector<int64_t>* v) {
    Shape s;
    if (!v || !count(v->size() * 8)) return s;
    if (v->size() > kRankMax) return fail("a shape of rank over 8"), s;
    for (int64_t d : *v) s.push_back(d);
    return s;
  }
  DType dtype(uint8_t value) {
    if (value >= kDTypeCount) fail("an unknown dtype"), value = 0;
    return static_cast<DType>(value);
  }
  void fail(std::string_view why) {
    if (why_.empty()) why_ = why;
  }
  void require(bool condition, std::string_view why) {
    if (!condition) fail(why);
  }
  template <class M>
  StatusOr<M> finish(M message) {
    if (!why_.empty()) return malformed(name_, why_);
    return message;
  }
  Status refuse() const { return malformed(name_, "it is no valid FlatBuffer"); }

 private:
  bool count(size_t n) {
    visited_ += n;
    if (visited_ <= size_) return true;
    fail("vectors that share bytes");
    return false;
  }
  std::string_view name_;
  size_t size_, visited_ = 0;
  const T* table_ = nullptr;
  std::string why_;
};

template <class T>
void read_views(In<fb::Ops>& in, const T& dims, Segment& s) {
  auto dtype = in.vec(in->view_dtype());
  auto flags = in.vec(in->view_flags());
  auto rank = in.vec(in->view_rank());
  auto offset = in.vec(in->view_offset());
  if (flags.size() != dtype.size() || rank.size() != dtype.size() || offset.size() != dtype.size())
    return in.fail("view columns of different lengths");
  size_t at = 0;
  for (size_t i = 0; i < dtype.size(); i++) {
    if (rank[i] > kRankMax || dims.size() - at < size_t{2} * rank[i])
      return in.fail("a view of rank over 8 or without its sizes");
    View v;
    v.dtype = in.dtype(dtype[i]);
    v.is_conj = flags[i] & 1;
    v.is_neg = flags[i] & 2;
    v.offset = offset[i];
    for (int d = 0; d < rank[i]; d++) v.sizes.push_back(dims[at++]);
    for (int d = 0; d < rank[i]; d++) v.strides.push_back(dims[at++]);
    s.views.push_back(v);
  }
  in.require(at == dims.size(), "view sizes that belong to no view");
}

}  // namespace

template <>
StatusOr<Hello> decode<Hello>(Span b) {
  In<fb::Hello> in("Hello", b);
  if (!in.ok()) return in.refuse();
  Hello m;
  m.protocol = in->protocol();
  m.version = in.str(in->version());
  m.command = in.str(in->command());
  m.pid = in->pid();
  m.memory_bytes = in->memory_bytes();
  m.device = in.str(in->device());
  return in.finish(std::move(m));
}

template <>
StatusOr<Ops> decode<Ops>(Span b) {
  In<fb::Ops> in("Ops", b);
  if (!in.ok()) return in.refuse();
  Ops m;
  Segment& s = m.part;
  m.first_op = in->first_op();
  s.names = in.strings(in->names(), in->name_ends());
  s.texts = in.strings(in->texts(), in->text_ends());
  auto slot_bytes = in.vec(in->slot_bytes());
  auto slot_fresh = in.vec(in->slot_fresh());
  in.require(slot_bytes.size() == slot_fresh.size(), "slot columns of different lengths");
  for (size_t i = 0; i < slot_bytes.size() && i < slot_fresh.size(); i++)
    s.slots.push_back({slot_bytes[i], slot_fresh[i] != 0});
  read_views(in, in.vec(in->view_dims()), s);
  s.op_name = in.vec(in->op_name());
  s.op_end = in.vec(in->op_end());
  in.require(s.op_name.size() == s.op_end.size(), "op columns of different lengths");
  s.words = in.vec(in->words());
  s.scalar_count = in->scalar_count();
  return in.finish(std::move(m));
}

template <>
StatusOr<Execute> decode<Execute>(Span b) {
  In<fb::Execute> in("Execute", b);
  if (!in.ok()) return in.refuse();
  Execute m;
  m.segment = {in->segment_hi(), in->segment_lo()};
  m.first_fresh_id = in->first_fresh_id();
  m.is_whole = in->is_whole();
  auto slots = in.vec(in->binding_slots());
  auto ids = in.vec(in->binding_ids());
  in.require(slots.size() == ids.size(), "binding columns of different lengths");
  for (size_t i = 0; i < slots.size() && i < ids.size(); i++) m.bindings.emplace_back(slots[i], ids[i]);
  m.live_out = in.vec(in->live_out());
  for (size_t i = 1; i < m.live_out.size(); i++)
    in.require(m.live_out[i - 1] < m.live_out[i], "live-out slots that do not ascend");
  m.scalars = in.vec(in->scalars());
  m.deaths = in.vec(in->deaths());
  return in.finish(std::move(m));
}

template <>
StatusOr<SegmentDef> decode<SegmentDef>(Span b) {
  In<fb::SegmentDef> in("SegmentDef", b);
  if (!in.ok()) return in.refuse();
  return in.finish(SegmentDef{{in->segment_hi(), in->segment_lo()}});
}

template <>
StatusOr<Read> decode<Read>(Span b) {
  In<fb::Read> in("Read", b);
  if (!in.ok()) return in.refuse();
  Read m;
  m.storage = in->storage();
  m.view.dtype = in.dtype(in->dtype());
  m.view.is_conj = in->flags() & 1;
  m.view.is_neg = in->flags() & 2;
  m.view.offset = in->view_offset();
  m.view.sizes = in.shape(in->sizes());
  m.view.strides = in.shape(in->strides());
  in.require(m.view.sizes.rank() == m.view.strides.rank(), "a view with other strides than sizes");
  m.tag = in->tag();
  m.window = in->window();
  m.offset = in->offset();
  return in.finish(std::move(m));
}

template <>
StatusOr<Upload> decode<Upload>(Span b) {
  In<fb::Upload> in("Upload", b);
  if (!in.ok()) return in.refuse();
  Upload m;
  m.storage = in->storage();
  m.bytes = in->bytes();
  m.tag = in->tag();
  m.window = in->window();
  m.offset = in->offset();
  m.data = in.bytes(in->data());
  in.require(m.bytes <= kStorageBytesMax, "more bytes than a storage may have");
  in.require(m.window != 0 || m.data.size() == m.bytes, "inline data of another length");
  return in.finish(std::move(m));
}

template <>
StatusOr<WindowWant> decode<WindowWant>(Span b) {
  In<fb::WindowWant> in("WindowWant", b);
  if (!in.ok()) return in.refuse();
  return in.finish(WindowWant{in->bytes()});
}
template <>
StatusOr<Sync> decode<Sync>(Span b) {
  In<fb::Sync> in("Sync", b);
  if (!in.ok()) return in.refuse();
  return in.finish(Sync{in->tag(), in->plans()});
}
template <>
StatusOr<EventRecord> decode<EventRecord>(Span b) {
  In<fb::EventRecord> in("EventRecord", b);
  if (!in.ok()) return in.refuse();
  return in.finish(EventRecord{in->id()});
}
template <>
StatusOr<ErrorSeen> decode<ErrorSeen>(Span b) {
  In<fb::ErrorSeen> in("ErrorSeen", b);
  if (!in.ok()) return in.refuse();
  return in.finish(ErrorSeen{in->seq()});
}
template <>
StatusOr<Hints> decode<Hints>(Span b) {
  In<fb::Hints> in("Hints", b);
  if (!in.ok()) return in.refuse();
  Hints m{in.str(in->key()), in.str(in->value())};
  return in.finish(std::move(m));
}

template <>
StatusOr<Done> decode<Done>(Span b) {
  In<fb::Done> in("Done", b);
  if (!in.ok()) return in.refuse();
  Done m;
  m.seq = in->seq();
  m.busy_ns = in->busy_ns();
  m.live_bytes = in->live_bytes();
  m.peak_bytes = in->peak_bytes();
  m.queue_depth = in->queue_depth();
  auto ids = in.vec(in->event_ids());
  auto ns = in.vec(in->event_ns());
  in.require(ids.size() == ns.size(), "event columns of different lengths");
  for (size_t i = 0; i < ids.size() && i < ns.size(); i++) m.events.emplace_back(ids[i], ns[i]);
  m.plans_built = in->plans_built();
  m.kernels_built = in->kernels_built();
  m.plan_hits = in->plan_hits();
  m.run_allocations = in->run_allocations();
  return in.finish(std::move(m));
}

template <>
StatusOr<Data> decode<Data>(Span b) {
  In<fb::Data> in("Data", b);
  if (!in.ok()) return in.refuse();
  Data m{in->tag(), in.bytes(in->data())};
  return in.finish(std::move(m));
}
template <>
StatusOr<WindowGrant> decode<WindowGrant>(Span b) {
  In<fb::WindowGrant> in("WindowGrant", b);
  if (!in.ok()) return in.refuse();
  return in.finish(WindowGrant{in->handle(), in->bytes()});
}
template <>
StatusOr<WindowFree> decode<WindowFree>(Span b) {
  In<fb::WindowFree> in("WindowFree", b);
  if (!in.ok()) return in.refuse();
  return in.finish(WindowFree{in->handle(), in->offset(), in->bytes()});
}
template <>
StatusOr<NeedSegment> decode<NeedSegment>(Span b) {
  In<fb::NeedSegment> in("NeedSegment", b);
  if (!in.ok()) return in.refuse();
  return in.finish(NeedSegment{{in->segment_hi(), in->segment_lo()}, in->seq()});
}

template <>
StatusOr<Error> decode<Error>(Span b) {
  In<fb::Error> in("Error", b);
  if (!in.ok()) return in.refuse();
  Error m;
  m.code = in->code();
  m.is_sticky = in->is_sticky();
  m.segment_seq = in->segment_seq();
  m.op_index = in->op_index();
  m.text = in.str(in->text());
  in.require(m.code <= static_cast<uint8_t>(StatusCode::internal), "an unknown status code");
  return in.finish(std::move(m));
}
template <>
StatusOr<Note> decode<Note>(Span b) {
  In<fb::Note> in("Note", b);
  if (!in.ok()) return in.refuse();
  Note m{in.str(in->key()), in.str(in->text())};
  return in.finish(std::move(m));
}

template <>
StatusOr<OpTable> decode<OpTable>(Span b) {
  In<fb::OpTable> in("OpTable", b);
  if (!in.ok()) return in.refuse();
  OpTable m{in.strings(in->names(), in->name_ends()), in.vec(in->dtype_masks())};
  in.require(m.names.size() == m.dtype_masks.size(), "columns of different lengths");
  return in.finish(std::move(m));
}
template <>
StatusOr<Stats> decode<Stats>(Span b) {
  In<fb::Stats> in("Stats", b);
  if (!in.ok()) return in.refuse();
  Stats m{in->busy_ns(), in->bytes(), in.str(in->notes())};
  return in.finish(std::move(m));
}

template <>
StatusOr<StatusReply> decode<StatusReply>(Span b) {
  In<fb::StatusReply> in("StatusReply", b);
  if (!in.ok()) return in.refuse();
  StatusReply m;
  m.version = in.str(in->version());
  m.device = in.str(in->device());
  m.flavor = in.str(in->flavor());
  m.memory_bytes = in->memory_bytes();
  m.used_bytes = in->used_bytes();
  m.utilization_percent = in->utilization_percent();
  auto pid = in.vec(in->job_pid());
  auto used = in.vec(in->job_bytes()), busy = in.vec(in->job_busy_ns()), id = in.vec(in->job_id());
  auto device = in.vec(in->job_device());
  auto commands = in.strings(in->commands(), in->command_ends());
  m.notes = in.strings(in->notes(), in->note_ends());
  size_t n = pid.size();
  if (used.size() != n || busy.size() != n || id.size() != n || device.size() != n || commands.size() != n)
    in.fail("job columns of different lengths");
  else
    for (size_t i = 0; i < n; i++)
      m.jobs.push_back({pid[i], std::move(commands[i]), used[i], busy[i], device[i], id[i]});
  return in.finish(std::move(m));
}

}  // namespace moai::wire
