// Records ops into the open segment, hashes as it goes, cuts. No PyTorch here.
//
// Thread rule: one mutex around an append (AppendLock); program order is the order of appends.
// Never wait under it. Functions marked [lock] need it held.
//
// Ids come from one counter, at an upload and at a cut: the fresh slots of a segment get theirs
// together, when it is cut, so they are consecutive whatever was uploaded between two records.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "src/frontend/recompile_reasons.h"
#include "src/frontend/session.h"
#include "src/wire/segment.h"

namespace moai::frontend {

// The client's side of one device storage: context of its DataPtr. Freed when nobody needs it (the
// recorder keeps it alive while the open segment names it).
struct Storage {
  uint64_t id = 0;     // 0 until it is uploaded or the segment that it first appears in is cut
  uint64_t epoch = 0;  // of the segment that `slot` belongs to
  uint32_t slot = 0;
  uint64_t bytes = 0;
  void* address = nullptr;       // in the PROT_NONE reservation
  Storage* next_dead = nullptr;  // of the recorder
};

// A view by the numbers that somebody else holds: what the hot path hands over.
struct ViewRef {
  DType dtype = DType::f32;
  bool is_conj = false, is_neg = false;
  int64_t offset = 0;
  std::span<const int64_t> sizes, strides;

  ViewRef() = default;
  ViewRef(const wire::View& v)
      : dtype(v.dtype),
        is_conj(v.is_conj),
        is_neg(v.is_neg),
        offset(v.offset),
        sizes(v.sizes.span()),
        strides(v.strides.span()) {}
};

// The name of an operator that one recorder records often: it remembers where the open segment has
// it.
class OpName {
 public:
  explicit OpName(std::string text) : text_(std::move(text)) {}

 private:
  friend class Recorder;
  std::string text_;
  uint64_t epoch_ = 0;
  uint32_t at_ = 0;
};

struct RecordedOp;

class Recorder {
 public:
  explicit Recorder(Session& session);
  ~Recorder();

  // One op: begin, arguments in schema order, outputs, end. [lock]
  void begin(std::string_view name);
  void begin(OpName& name);
  void tensor(Storage*, const ViewRef&);
  void none();
  void list(size_t count);  // `count` tensor() or none() follow
  void integer(int64_t);
  void integers(std::span<const int64_t>);
  void real(double);  // structural
  void reals(std::span<const double>);
  void scalar_int(int64_t);  // lifted
  void scalar_real(double);
  void scalar_bool(bool);
  void scalar_list(std::span<const uint64_t> bits, wire::Tag kind);  // collapses equal values
  void text(std::string_view);
  void rng(uint64_t seed, uint64_t offset);
  void outputs(size_t count);  // `count` tensor() or none() follow
  void end();

  std::mutex& mutex() { return mutex_; }
  // The open segment is full, or better split before the last op: cut_wanted(), without the mutex.
  // Needs no lock.
  bool wants_cut() const;

  // Hands the open segment over; nothing when it is empty and nothing died. May wait for run-ahead.
  // Do not hold the mutex. `is_step`: the cut of an optimizer step.
  Status cut(bool is_step = false) { return cut(is_step ? Cut::step : Cut::whole); }
  // The cut that wants_cut() asks for. The op that it splits before opens the next segment.
  Status cut_wanted() { return cut(Cut::part); }
  // Cut, then read. A storage without contents reads as zeros.
  Status read(Storage*, const wire::View&, std::span<std::byte> out);
  // Fills a storage that has no contents yet. Does not cut. After a failure it still has none.
  Status upload(Storage*, std::span<const std::byte> data);
  // [lock], unless no other thread records.
  bool has_contents(const Storage* s) const { return s->id != 0 || s->epoch == epoch_; }
  // The storage died (deleter): it belongs to the recorder now. Never throws, never waits; with or
  // without lock.
  void died(Storage*) noexcept;
  uint64_t ops_recorded() const;

  // From now on keeps why segments were new. Before anything is recorded.
  void explain_segments();
  std::map<std::string, RecompileReasons::Reason> recompile_reasons() const;

 private:
  struct State;
  Status cut(Cut cut);
  void begin(uint32_t name);
  void record(const RecordedOp& op);
  Status send_deaths();

  std::mutex mutex_;
  uint64_t epoch_ = 1;
  Session& session_;
  std::unique_ptr<State> state_;
};

}  // namespace moai::frontend
