// Columns, interning, hash and the cut.
#include "src/frontend/capture.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/frontend/intern.h"
#include "src/frontend/recorded_op.h"
#include "src/frontend/split_policy.h"
#include "src/wire/arguments.h"

namespace moai::frontend {
namespace {

using wire::Tag;

// Deaths beyond this are sent without waiting for a cut, and ahead of one.
constexpr uint64_t kDeathBytesMax = uint64_t{64} << 20;
// A list may bring many rows at once: the segment is full well before a limit of the format.
// Other threads may append a few ops before the cut.
constexpr size_t kOpsFull = kSegmentOpsMax - 256;
constexpr size_t kSlotsFull = kSegmentSlotsMax / 4 * 3;
constexpr size_t kViewsFull = kSegmentViewsMax / 4 * 3;
constexpr size_t kWordsFull = kSegmentArgsMax / 4 * 3;

constexpr int64_t kPayloadMax = (int64_t{1} << 55) - 1;
constexpr int64_t kPayloadMin = -(int64_t{1} << 55);

uint64_t bits_of(double value) { return std::bit_cast<uint64_t>(value); }

}  // namespace

struct Recorder::State {
  wire::Segment open, closed;  // buffers that are filled in turn
  wire::Scalars scalars;
  Hash128 hash;
  InternIndex names, texts, views;
  bool is_output = false;

  struct SlotState {
    Storage* storage = nullptr;
    bool is_written = false, is_dead = false;
  };
  std::vector<SlotState> slots;  // of the open segment

  uint64_t next_id = 1;
  std::vector<uint64_t> deaths;  // of storages that the open segment does not name
  uint64_t death_bytes = 0;

  // Held over a whole hand-over, before the append mutex: segments leave in the order of their
  // cuts.
  std::mutex cut_mutex;
  std::atomic<Storage*> dead{nullptr};  // a stack: deleters push, a cut takes all
  std::atomic<uint64_t> dead_bytes{0};  // in the stack
  std::atomic<uint64_t> ops_recorded{0};
  std::atomic<bool> wants_cut{false};

  SplitPolicy policy;
  std::unique_ptr<RecompileReasons> reasons;  // [cut_mutex]; null: nobody asks
  uint64_t steps = 0;                         // [cut_mutex]
  // What the open segment was before the last op, kept while the policy is active.
  struct Mark {
    Hash128 hash;
    size_t names = 0, texts = 0, slots = 0, views = 0, scalars = 0;
  } mark;
  size_t split_before = 0;  // the op that the policy wants in the next segment; 0: none

  void set_mark() {
    if (policy.is_active())
      mark = {hash,         open.names.size(), open.texts.size(),
              slots.size(), open.views.size(), scalars.size()};
  }
  void push(uint64_t word) {
    open.words.push_back(word);
    hash.add(word);
  }
  uint32_t intern(InternIndex& index, std::vector<std::string>& table, std::string_view text);
  uint32_t intern(const ViewRef& view);
  uint32_t slot_of(Storage* s, uint64_t epoch);
  void take_dead(uint64_t epoch);
  std::optional<RecordedOp> take_last_op();
  wire::Execute close();
  void reopen();
};

uint32_t Recorder::State::intern(InternIndex& index, std::vector<std::string>& table,
                                 std::string_view text) {
  uint64_t h = hash_of(text);
  uint32_t at = index.find(h, [&](uint32_t i) { return table[i] == text; });
  if (at != InternIndex::kNone) return at;
  at = static_cast<uint32_t>(table.size());
  table.emplace_back(text);
  index.insert(h, at);
  hash.add(text);
  return at;
}

uint32_t Recorder::State::intern(const ViewRef& view) {
  uint64_t h = hash_of(view);
  uint32_t at = views.find(h, [&](uint32_t i) { return is_equal(open.views[i], view); });
  if (at != InternIndex::kNone) return at;
  at = static_cast<uint32_t>(open.views.size());
  open.views.push_back(view_of(view));
  views.insert(h, at);
  hash.add(head_of(view));
  hash.add(static_cast<uint64_t>(view.offset));
  for (int64_t d : view.sizes) hash.add(static_cast<uint64_t>(d));
  for (int64_t d : view.strides) hash.add(static_cast<uint64_t>(d));
  return at;
}

uint32_t Recorder::State::slot_of(Storage* s, uint64_t epoch) {
  if (s->epoch == epoch) return s->slot;
  bool is_fresh = s->id == 0;
  s->epoch = epoch;
  s->slot = static_cast<uint32_t>(slots.size());
  slots.push_back({s});
  open.slots.push_back({s->bytes, is_fresh});
  hash.add(s->bytes << 1 | uint64_t{is_fresh});
  return s->slot;
}

// Sorts the dead into slots of the open segment and ids that the server may forget.
void Recorder::State::take_dead(uint64_t epoch) {
  Storage* next = nullptr;
  for (Storage* s = dead.exchange(nullptr, std::memory_order_acquire); s != nullptr; s = next) {
    next = s->next_dead;
    dead_bytes.fetch_sub(s->bytes, std::memory_order_relaxed);
    if (s->epoch == epoch) {
      slots[s->slot].is_dead = true;
      continue;
    }
    if (s->id != 0) deaths.push_back(s->id), death_bytes += s->bytes;
    delete s;
  }
}

// The op that the policy wants in the next segment leaves this one, unless something came after it.
// What it wrote stays marked as written, which costs nothing.
std::optional<RecordedOp> Recorder::State::take_last_op() {
  if (split_before == 0 || open.op_count() != split_before + 1) return std::nullopt;
  RecordedOp op;
  const std::span<const uint64_t> words = words_of(open, split_before);
  bool is_any_dead = false;
  wire::for_each_argument(words, [&](std::span<const uint64_t> entry) {
    if (wire::tag_of(entry[0]) == Tag::tensor) {
      const SlotState& slot = slots[wire::slot_of(entry[0])];
      is_any_dead |= slot.is_dead;
      op.tensors.emplace_back(slot.storage, open.views[wire::view_of(entry[0])]);
    } else if (wire::tag_of(entry[0]) == Tag::text) {
      op.texts.push_back(open.texts[static_cast<size_t>(wire::payload_of(entry[0]))]);
    }
  });
  if (is_any_dead) return std::nullopt;
  op.name = open.names[open.op_name.back()];
  op.words.assign(words.begin(), words.end());
  op.scalars.assign(scalars.begin() + static_cast<ptrdiff_t>(mark.scalars), scalars.end());
  open.words.resize(open.words.size() - words.size());
  open.op_name.pop_back(), open.op_end.pop_back();
  open.names.resize(mark.names), open.texts.resize(mark.texts);
  open.slots.resize(mark.slots), slots.resize(mark.slots);
  open.views.resize(mark.views), scalars.resize(mark.scalars);
  hash = mark.hash;
  return op;
}

// Gives ids to the fresh slots and names what lives on; the dead leave.
wire::Execute Recorder::State::close() {
  wire::Execute e;
  open.id = hash.id();
  open.scalar_count = static_cast<uint32_t>(scalars.size());
  e.segment = open.id;
  e.first_fresh_id = next_id;
  e.scalars = scalars;
  for (uint32_t i = 0; i < slots.size(); i++) {
    auto [s, is_written, is_dead] = slots[i];
    bool is_fresh = open.slots[i].is_fresh;
    if (is_fresh)
      s->id = next_id++;
    else
      e.bindings.emplace_back(i, s->id);
    if (!is_dead && (is_fresh || is_written)) e.live_out.push_back(i);
    if (!is_dead) continue;
    // The server drops a fresh slot that is not live by itself.
    if (!is_fresh) e.deaths.push_back(s->id);
    delete s;
  }
  return e;
}

// Sets the columns aside for the hand-over and begins the next segment in the other buffer.
void Recorder::State::reopen() {
  std::swap(open, closed);
  open.id = {};
  open.names.clear(), open.texts.clear(), open.slots.clear(), open.views.clear();
  open.op_name.clear(), open.op_end.clear(), open.words.clear();
  open.scalar_count = 0;
  names.clear(), texts.clear(), views.clear();
  slots.clear(), scalars.clear();
  hash = {};
  split_before = 0;
  wants_cut.store(false, std::memory_order_relaxed);
}

Recorder::Recorder(Session& session) : session_(session), state_(std::make_unique<State>()) {}

Recorder::~Recorder() {
  state_->take_dead(epoch_);
  for (const State::SlotState& slot : state_->slots)
    if (slot.is_dead) delete slot.storage;
}

void Recorder::begin(uint32_t name) {
  State& s = *state_;
  s.open.op_name.push_back(name);
  s.hash.add(name);
  s.is_output = false;
}

void Recorder::begin(std::string_view name) {
  state_->set_mark();
  begin(state_->intern(state_->names, state_->open.names, name));
}

void Recorder::begin(OpName& name) {
  state_->set_mark();
  if (name.epoch_ != epoch_) {
    name.at_ = state_->intern(state_->names, state_->open.names, name.text_);
    name.epoch_ = epoch_;
  }
  begin(name.at_);
}

void Recorder::tensor(Storage* storage, const ViewRef& view) {
  if (storage == nullptr) return none();
  State& s = *state_;
  uint32_t slot = s.slot_of(storage, epoch_);
  s.slots[slot].is_written |= s.is_output;
  s.push(wire::make_tensor(slot, s.intern(view)));
}

void Recorder::none() { state_->push(wire::make_word(Tag::none)); }

void Recorder::list(size_t count) {
  state_->push(wire::make_word(Tag::tensor_list, static_cast<int64_t>(count)));
}

void Recorder::integer(int64_t value) {
  if (value >= kPayloadMin && value <= kPayloadMax)
    return state_->push(wire::make_word(Tag::integer, value));
  state_->push(wire::make_word(Tag::integer_wide));
  state_->push(static_cast<uint64_t>(value));
}

void Recorder::integers(std::span<const int64_t> values) {
  state_->push(wire::make_word(Tag::integer_list, static_cast<int64_t>(values.size())));
  for (int64_t v : values) state_->push(static_cast<uint64_t>(v));
}

void Recorder::real(double value) {
  state_->push(wire::make_word(Tag::real));
  state_->push(bits_of(value));
}

void Recorder::reals(std::span<const double> values) {
  state_->push(wire::make_word(Tag::real_list, static_cast<int64_t>(values.size())));
  for (double v : values) state_->push(bits_of(v));
}

void Recorder::scalar_int(int64_t value) {
  state_->push(wire::make_word(Tag::scalar_int));
  state_->scalars.push_back(static_cast<uint64_t>(value));
}

void Recorder::scalar_real(double value) {
  state_->push(wire::make_word(Tag::scalar_real));
  state_->scalars.push_back(bits_of(value));
}

void Recorder::scalar_bool(bool value) {
  state_->push(wire::make_word(Tag::scalar_bool));
  state_->scalars.push_back(value);
}

void Recorder::scalar_list(std::span<const uint64_t> bits, wire::Tag kind) {
  bool is_uniform = !bits.empty() &&
                    std::all_of(bits.begin(), bits.end(), [&](uint64_t b) { return b == bits[0]; });
  state_->push(wire::make_scalar_list(bits.size(), kind, is_uniform));
  auto last = is_uniform ? bits.begin() + 1 : bits.end();
  state_->scalars.insert(state_->scalars.end(), bits.begin(), last);
}

void Recorder::text(std::string_view text) {
  State& s = *state_;
  s.push(wire::make_word(Tag::text, s.intern(s.texts, s.open.texts, text)));
}

void Recorder::rng(uint64_t seed, uint64_t offset) {
  state_->push(wire::make_word(Tag::rng));
  state_->scalars.push_back(seed);
  state_->scalars.push_back(offset);
}

void Recorder::outputs(size_t count) {
  state_->is_output = true;
  state_->push(wire::make_word(Tag::outputs, static_cast<int64_t>(count)));
}

void Recorder::end() {
  State& s = *state_;
  s.open.op_end.push_back(static_cast<uint32_t>(s.open.words.size()));
  s.ops_recorded.fetch_add(1, std::memory_order_relaxed);
  const size_t ops = s.open.op_end.size();
  if (ops >= kOpsFull || s.slots.size() >= kSlotsFull || s.open.views.size() >= kViewsFull ||
      s.open.words.size() >= kWordsFull)
    s.wants_cut.store(true, std::memory_order_relaxed);
  if (s.policy.is_active() && s.policy.note_op(signature_of(s.open, ops - 1), ops - 1)) {
    s.split_before = ops - 1;
    s.wants_cut.store(true, std::memory_order_relaxed);
  }
}

// Again, in another segment than before.
void Recorder::record(const RecordedOp& op) {
  State& s = *state_;
  begin(op.name);
  auto tensor_at = op.tensors.begin();
  auto text_at = op.texts.begin();
  wire::for_each_argument(op.words, [&](std::span<const uint64_t> entry) {
    switch (wire::tag_of(entry[0])) {
      case Tag::tensor: tensor(tensor_at->first, tensor_at->second), ++tensor_at; break;
      case Tag::text: text(*text_at++); break;
      case Tag::outputs: outputs(static_cast<size_t>(wire::payload_of(entry[0]))); break;
      default:
        for (uint64_t word : entry) s.push(word);
    }
  });
  s.scalars.insert(s.scalars.end(), op.scalars.begin(), op.scalars.end());
  end();
  s.ops_recorded.fetch_sub(1, std::memory_order_relaxed);
}

void Recorder::explain_segments() { state_->reasons = std::make_unique<RecompileReasons>(); }

std::map<std::string, RecompileReasons::Reason> Recorder::recompile_reasons() const {
  std::lock_guard order(state_->cut_mutex);
  return state_->reasons ? state_->reasons->all()
                         : std::map<std::string, RecompileReasons::Reason>{};
}

bool Recorder::wants_cut() const { return state_->wants_cut.load(std::memory_order_relaxed); }

uint64_t Recorder::ops_recorded() const {
  return state_->ops_recorded.load(std::memory_order_relaxed);
}

Status Recorder::cut(Cut cut) {
  State& s = *state_;
  std::lock_guard order(s.cut_mutex);
  wire::Execute execute;
  std::vector<uint64_t> deaths;
  uint64_t death_bytes = 0;
  const bool is_program = cut != Cut::part;
  {
    std::lock_guard append(mutex_);
    if (cut == Cut::part && !wants_cut()) return ok_status();  // another thread was faster
    s.take_dead(epoch_);
    death_bytes = std::exchange(s.death_bytes, 0);
    deaths.swap(s.deaths);
    std::optional<RecordedOp> moved;
    if (!is_program) moved = s.take_last_op();
    if (!is_program && !moved) cut = Cut::whole;
    execute = s.close();
    s.reopen();
    epoch_++;
    if (moved) record(*moved);
  }
  const size_t ops = s.closed.op_count();
  Status early, submitted;
  if (ops > 0 && death_bytes <= kDeathBytesMax)
    execute.deaths.insert(execute.deaths.end(), deaths.begin(), deaths.end());
  else if (!deaths.empty())  // ahead of the segment, so that it can run in the memory of these
    early = session_.deaths(std::move(deaths));
  bool is_new = false;
  if (ops > 0 || cut == Cut::step)
    submitted = session_.submit(s.closed, std::move(execute), cut, is_new);
  {
    std::lock_guard append(mutex_);
    s.policy.note_cut(ops, is_new, !is_program);
  }
  if (s.reasons && is_new) s.reasons->note(s.closed, s.steps);
  s.steps += cut == Cut::step;
  return early.ok() ? submitted : early;
}

Status Recorder::read(Storage* storage, const wire::View& view, std::span<std::byte> out) {
  MOAI_RETURN_IF_ERROR(cut());
  uint64_t id = 0;
  {
    std::lock_guard append(mutex_);
    id = storage->id;
  }
  if (id != 0) return session_.read(id, view, out);
  std::fill(out.begin(), out.end(), std::byte{0});
  return ok_status();
}

Status Recorder::upload(Storage* storage, std::span<const std::byte> data) {
  State& s = *state_;
  if (s.dead_bytes.load(std::memory_order_relaxed) > kDeathBytesMax)
    MOAI_RETURN_IF_ERROR(send_deaths());
  uint64_t id = 0;
  {
    std::lock_guard append(mutex_);
    if (has_contents(storage))
      return internal_error("The storage of an upload has contents already. Report this as a bug.");
    id = storage->id = s.next_id++;
  }
  Status sent = session_.upload(id, data);
  if (sent.ok()) return sent;
  std::lock_guard append(mutex_);
  storage->id = 0;
  return sent;
}

// Deaths of storages that the open segment does not name, so that a program that only uploads frees
// memory too.
Status Recorder::send_deaths() {
  State& s = *state_;
  std::lock_guard order(s.cut_mutex);
  std::vector<uint64_t> deaths;
  {
    std::lock_guard append(mutex_);
    s.take_dead(epoch_);
    s.death_bytes = 0;
    deaths.swap(s.deaths);
  }
  return deaths.empty() ? ok_status() : session_.deaths(std::move(deaths));
}

void Recorder::died(Storage* storage) noexcept {
  // A storage in no record has its id from an upload, which happened before this; of the others a
  // cut may be writing the id right now.
  if (storage->epoch == 0 && storage->id == 0) {
    delete storage;
    return;
  }
  State& s = *state_;
  s.dead_bytes.fetch_add(storage->bytes, std::memory_order_relaxed);
  storage->next_dead = s.dead.load(std::memory_order_relaxed);
  while (!s.dead.compare_exchange_weak(storage->next_dead, storage, std::memory_order_release,
                                       std::memory_order_relaxed)) {
  }
}

}  // namespace moai::frontend
