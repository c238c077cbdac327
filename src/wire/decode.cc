// FlatBuffers -> structs. Peer bytes: verified, bounded, then copied out. Nothing here trusts a
// count.
#include <bit>
#include <cstring>

#include "src/wire/codec.h"

namespace moai::wire {
namespace {

Status malformed(std::string_view message, std::string_view why) {
  return invalid("[wire] " + std::string(message) + " message is malformed: " + std::string(why));
}

// Reads the fields of one verified table and adds up what its vectors hold: FlatBuffers lets
// vectors share bytes, so their sum is checked against the buffer.
template <class T>
class In {
 public:
  In(std::string_view name, Span bytes) : name_(name), size_(bytes.size()) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    flatbuffers::Verifier verifier(data, bytes.size(), /*max_depth=*/8, /*max_tables=*/8);
    if (bytes.size() < 8 || bytes.size() > kMessageBytesMax || !verifier.VerifyBuffer<T>(nullptr))
      return;
    table_ = flatbuffers::GetRoot<T>(data);
  }
  bool ok() const { return table_ != nullptr; }
  const T* operator->() const { return table_; }

  // Into what is there, so that a message decoded again and again keeps its memory. A peer may lay
  // a column where its elements are not aligned: bytes are copied, elements never read in place.
  template <class E, class To>
  void read(const flatbuffers::Vector<E>* v, std::vector<To>& to) {
    static_assert(sizeof(E) == sizeof(To) && std::endian::native == std::endian::little);
    size_t n = v && count(v->size() * sizeof(E)) ? v->size() : 0;
    to.resize(n);
    if (n != 0) std::memcpy(to.data(), v->Data(), n * sizeof(E));
  }
  void read(const flatbuffers::String* s, std::string& to) {
    if (!s || !count(s->size())) return to.clear();
    to.assign(s->c_str(), s->size());
  }
  // Two columns of equal length, element by element.
  template <class A, class B, class Each>
  void pairs(const flatbuffers::Vector<A>* a, const flatbuffers::Vector<B>* b, std::string_view why,
             Each each) {
    size_t n = a ? a->size() : 0;
    if (n != (b ? b->size() : 0)) return fail(why);
    if (n == 0 || !count(n * sizeof(A)) || !count(n * sizeof(B))) return;
    for (flatbuffers::uoffset_t i = 0; i < n; i++) each(element(a, i), element(b, i));
  }
  void read(const flatbuffers::Vector<uint8_t>* text, const flatbuffers::Vector<uint32_t>* ends,
            std::vector<std::string>& to) {
    to.clear();
    if (!ends || !count(ends->size() * 4) || !count(text ? text->size() : 0)) return;
    uint32_t at = 0, size = text ? text->size() : 0;
    for (flatbuffers::uoffset_t i = 0; i < ends->size(); i++) {
      uint32_t end = element(ends, i);
      if (end < at || end > size) return fail("a text list that goes back or beyond its end");
      const auto* from = text ? reinterpret_cast<const char*>(text->data()) + at : "";
      to.emplace_back(from, end - at);
      at = end;
    }
    if (at != size) fail("a text list that is longer than its ends");
  }
  Shape shape(const flatbuffers::Vector<int64_t>* v) {
    Shape s;
    if (!v || !count(v->size() * 8)) return s;
    if (v->size() > kRankMax) return fail("a shape of rank over 8"), s;
    for (flatbuffers::uoffset_t i = 0; i < v->size(); i++) s.push_back(element(v, i));
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
  Status result() const { return why_.empty() ? ok_status() : malformed(name_, why_); }
  Status refuse() const { return malformed(name_, "it is no valid FlatBuffer"); }

 private:
  template <class E>
  static E element(const flatbuffers::Vector<E>* v, flatbuffers::uoffset_t i) {
    E value;
    std::memcpy(&value, v->Data() + i * sizeof(E), sizeof value);
    return value;
  }
  bool count(size_t n) {
    visited_ += n;
    if (visited_ <= size_) return true;
    fail("vectors that share bytes");
    return false;
  }
  std::string_view name_;
  size_t size_, visited_ = 0;
  const T* table_ = nullptr;
  std::string_view why_;
};

void read_views(In<fb::Ops>& in, Segment& s) {
  std::vector<uint8_t> dtype, flags, rank;
  std::vector<int64_t> offset, dims;
  in.read(in->view_dims(), dims);
  in.read(in->view_dtype(), dtype);
  in.read(in->view_flags(), flags);
  in.read(in->view_rank(), rank);
  in.read(in->view_offset(), offset);
  s.views.clear();
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

void read(In<fb::Hello>& in, Hello& m) {
  m.protocol = in->protocol();
  in.read(in->version(), m.version);
  in.read(in->command(), m.command);
  m.pid = in->pid();
  m.memory_bytes = in->memory_bytes();
  in.read(in->device(), m.device);
}

void read(In<fb::Ops>& in, Ops& m) {
  Segment& s = m.part;
  m.first_op = in->first_op();
  in.read(in->names(), in->name_ends(), s.names);
  in.read(in->texts(), in->text_ends(), s.texts);
  s.slots.clear();
  in.pairs(in->slot_bytes(), in->slot_fresh(), "slot columns of different lengths",
           [&](uint64_t bytes, uint8_t is_fresh) {
             s.slots.push_back({bytes, is_fresh != 0});
           });
  read_views(in, s);
  in.read(in->op_name(), s.op_name);
  in.read(in->op_end(), s.op_end);
  in.require(s.op_name.size() == s.op_end.size(), "op columns of different lengths");
  in.read(in->words(), s.words);
  s.scalar_count = in->scalar_count();
}

void read(In<fb::Execute>& in, Execute& m) {
  m.segment = {in->segment_hi(), in->segment_lo()};
  m.first_fresh_id = in->first_fresh_id();
  m.is_whole = in->is_whole();
  m.bindings.clear();
  in.pairs(in->binding_slots(), in->binding_ids(), "binding columns of different lengths",
           [&](uint32_t slot, uint64_t id) { m.bindings.emplace_back(slot, id); });
  in.read(in->live_out(), m.live_out);
  for (size_t i = 1; i < m.live_out.size(); i++)
    in.require(m.live_out[i - 1] < m.live_out[i], "live-out slots that do not ascend");
  in.read(in->scalars(), m.scalars);
  in.read(in->deaths(), m.deaths);
}

void read(In<fb::SegmentDef>& in, SegmentDef& m) {
  m.segment = {in->segment_hi(), in->segment_lo()};
}

void read(In<fb::Read>& in, Read& m) {
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
}

void read(In<fb::Upload>& in, Upload& m) {
  m.storage = in->storage();
  m.bytes = in->bytes();
  m.tag = in->tag();
  m.window = in->window();
  m.offset = in->offset();
  in.read(in->data(), m.data);
  in.require(m.bytes <= kStorageBytesMax, "more bytes than a storage may have");
  in.require(m.window != 0 || m.data.size() == m.bytes, "inline data of another length");
}

void read(In<fb::WindowWant>& in, WindowWant& m) { m = {in->bytes()}; }
void read(In<fb::Sync>& in, Sync& m) { m = {in->tag(), in->plans()}; }
void read(In<fb::EventRecord>& in, EventRecord& m) { m = {in->id()}; }
void read(In<fb::ErrorSeen>& in, ErrorSeen& m) { m = {in->seq()}; }
void read(In<fb::Hints>& in, Hints& m) {
  in.read(in->key(), m.key);
  in.read(in->value(), m.value);
}

void read(In<fb::Done>& in, Done& m) {
  m.seq = in->seq();
  m.busy_ns = in->busy_ns();
  m.live_bytes = in->live_bytes();
  m.peak_bytes = in->peak_bytes();
  m.queue_depth = in->queue_depth();
  m.events.clear();
  in.pairs(in->event_ids(), in->event_ns(), "event columns of different lengths",
           [&](uint64_t id, uint64_t ns) { m.events.emplace_back(id, ns); });
  m.plans_built = in->plans_built();
  m.kernels_built = in->kernels_built();
  m.plan_hits = in->plan_hits();
  m.run_allocations = in->run_allocations();
  m.frames_received = in->frames_received();
  m.allocations = in->allocations();
  m.mappings = in->mappings();
  m.planning_ns = in->planning_ns();
  m.plans_resized = in->plans_resized();
}

void read(In<fb::Data>& in, Data& m) {
  m.tag = in->tag();
  in.read(in->data(), m.data);
}
void read(In<fb::WindowGrant>& in, WindowGrant& m) { m = {in->handle(), in->bytes()}; }
void read(In<fb::WindowFree>& in, WindowFree& m) { m = {in->handle(), in->offset(), in->bytes()}; }
void read(In<fb::NeedSegment>& in, NeedSegment& m) {
  m = {{in->segment_hi(), in->segment_lo()}, in->seq()};
}

void read(In<fb::Error>& in, Error& m) {
  m.code = in->code();
  m.is_sticky = in->is_sticky();
  m.segment_seq = in->segment_seq();
  m.op_index = in->op_index();
  in.read(in->text(), m.text);
  in.require(m.code <= static_cast<uint8_t>(StatusCode::internal), "an unknown status code");
}
void read(In<fb::Note>& in, Note& m) {
  in.read(in->key(), m.key);
  in.read(in->text(), m.text);
}

void read(In<fb::OpTable>& in, OpTable& m) {
  in.read(in->names(), in->name_ends(), m.names);
  in.read(in->dtype_masks(), m.dtype_masks);
  in.require(m.names.size() == m.dtype_masks.size(), "columns of different lengths");
}
void read(In<fb::Stats>& in, Stats& m) {
  m.busy_ns = in->busy_ns();
  m.bytes = in->bytes();
  in.read(in->notes(), m.notes);
}

void read(In<fb::StatusReply>& in, StatusReply& m) {
  in.read(in->version(), m.version);
  in.read(in->device(), m.device);
  in.read(in->flavor(), m.flavor);
  m.memory_bytes = in->memory_bytes();
  m.used_bytes = in->used_bytes();
  m.utilization_percent = in->utilization_percent();
  std::vector<int64_t> pid;
  std::vector<uint64_t> used, busy, id;
  std::vector<uint32_t> device;
  std::vector<std::string> commands;
  in.read(in->job_pid(), pid);
  in.read(in->job_bytes(), used);
  in.read(in->job_busy_ns(), busy);
  in.read(in->job_id(), id);
  in.read(in->job_device(), device);
  in.read(in->commands(), in->command_ends(), commands);
  in.read(in->notes(), in->note_ends(), m.notes);
  m.jobs.clear();
  size_t n = pid.size();
  if (used.size() != n || busy.size() != n || id.size() != n || device.size() != n ||
      commands.size() != n)
    return in.fail("job columns of different lengths");
  for (size_t i = 0; i < n; i++)
    m.jobs.push_back({pid[i], std::move(commands[i]), used[i], busy[i], device[i], id[i]});
}

}  // namespace

#define X(M)                                           \
  Status decode_into(Span bytes, M& into) {            \
    In<fb::M> in(#M, bytes);                           \
    if (!in.ok()) return in.refuse();                  \
    read(in, into);                                    \
    return in.result();                                \
  }                                                    \
  template <>                                          \
  StatusOr<M> decode<M>(Span bytes) {                  \
    M message;                                         \
    MOAI_RETURN_IF_ERROR(decode_into(bytes, message)); \
    return message;                                    \
  }
MOAI_WIRE_MESSAGES(X)
#undef X

}  // namespace moai::wire
