// The calls of a session.
#include "src/frontend/session_client.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/base/clock.h"
#include "src/frontend/progress.h"

namespace moai::frontend {
namespace {

constexpr size_t kDeathsAMessage = 32768;
constexpr uint64_t kUploadStepBytes = uint64_t{4} << 20;
constexpr uint64_t kEarlyUploadBytes = 1 << 20;
constexpr double kWriteSeconds = 10;
constexpr uint64_t kPollNs = 50'000'000;

Status fork_error() {
  return unavailable(
      "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must "
      "use the 'spawn' "
      "start method");
}

// What its new storages take if all of them are there at once.
uint64_t logical_bytes(const wire::Segment& segment) {
  uint64_t bytes = 0;
  for (const wire::Slot& slot : segment.slots) bytes += slot.is_fresh ? slot.bytes : 0;
  return bytes;
}

}  // namespace

SessionClient::SessionClient(SessionOptions options)
    : driver_(std::make_shared<Driver>(
          std::move(options),
          [this](wire::Kind kind, wire::Span body) { on_message(kind, body); })) {}

SessionClient::~SessionClient() {
  if (!is_forked_)
    driver_->close();
  else  // its thread and its locks stayed behind in the parent: nothing of it can be taken down
        // here
    new std::shared_ptr<Driver>(std::move(driver_));
}

Status SessionClient::ensure() { return is_forked_ ? fork_error() : driver_->ensure(); }

bool SessionClient::is_connected() const { return !is_forked_ && driver_->is_connected(); }

void SessionClient::forked() {
  if (!driver_->is_idle()) is_forked_ = true;
}

void SessionClient::close() {
  if (!is_forked_) driver_->close();
}

// Before every use of the connection: hints that waited for it, messages that have arrived, its
// end.
Status SessionClient::begin() {
  for (const wire::Hints& hint : std::exchange(queued_hints_, {}))
    (void)driver_->send_message(wire::Kind::hints, hint);
  if (driver_->lost().ok()) driver_->drain();
  if (driver_->lost().ok()) return {};
  return has_error() ? raise() : driver_->lost();
}

Status SessionClient::await(std::string_view what, const std::function<bool()>& is_done) {
  SpanScope waiting(driver_->trace(), "wait", what);
  Status waited = driver_->wait_until(what, [&] { return is_done() || has_error(); });
  if (waited.code() == StatusCode::interrupted || is_done()) return waited;
  return has_error() ? raise() : waited;
}

// Sends a message that is answered by Data with its tag, and waits for that.
Status SessionClient::ask(wire::Kind kind, wire::Span body, std::string_view what, uint64_t tag) {
  std::optional<wire::Bytes>& answer = answers_[tag];  // references to elements stay valid
  MOAI_RETURN_IF_ERROR(driver_->send(kind, body));
  MOAI_RETURN_IF_ERROR(driver_->flush());
  counters_.blocking_round_trips++;
  return await(what, [&] { return answer.has_value(); });
}

StatusOr<bool> SessionClient::supports(const std::string& name, DType dtype) {
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (!op_table_)
    MOAI_RETURN_IF_ERROR(
        await("asking what the server runs", [&] { return op_table_.has_value(); }));
  auto at = op_table_->find(name);
  return at != op_table_->end() && (at->second & mask_of(dtype)) != 0;
}

StatusOr<MemoryInfo> SessionClient::memory() {
  MOAI_RETURN_IF_ERROR(ensure());
  MOAI_RETURN_IF_ERROR(sync(false));
  std::lock_guard turn(driver_->turn());
  return MemoryInfo{driver_->peer().memory_bytes, live_bytes_, peak_bytes_};
}

Status SessionClient::submit(const wire::Segment& segment, wire::Execute execute, Cut cut,
                             bool& is_new) {
  is_new = false;
  const bool is_step = cut == Cut::step;
  if (segment.op_count() == 0 && execute.deaths.empty()) {
    if (!is_step || is_forked_) return {};
    std::lock_guard turn(driver_->turn());
    counters_.steps++;
    return {};
  }
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  counters_.steps += is_step;
  counters_.ops_recorded += segment.op_count();
  counters_.views += segment.views.size();
  MOAI_RETURN_IF_ERROR(begin());
  if (!sticky_.ok()) return sticky_;
  if (driver_->trace().is_open() && captured_since_ns_ != 0)
    driver_->trace().span("capture", captured_since_ns_, now_ns(),
                          std::to_string(segment.op_count()) + " ops");
  MOAI_RETURN_IF_ERROR(hand_over(segment, execute, cut, is_new));
  driver_->drain();
  captured_since_ns_ = now_ns();
  if (!has_error()) MOAI_RETURN_IF_ERROR(wait_after(segment, is_new));
  return has_error() ? raise() : ok_status();
}

Status SessionClient::hand_over(const wire::Segment& segment, wire::Execute& execute, Cut cut,
                                bool& is_new) {
  is_new = book_.find(execute.segment) == nullptr;
  SpanScope sending(driver_->trace(), "send", "frames of a segment");
  book_.bind(execute, is_new);
  if (is_new) {
    counters_.segments_new++;
    uint64_t begin_ns = now_ns();
    std::vector<wire::Bytes> pieces = encode_pieces(segment);
    driver_->trace().span("encode", begin_ns, now_ns(), "a new segment");
    for (const wire::Bytes& piece : pieces)
      MOAI_RETURN_IF_ERROR(driver_->send(wire::Kind::ops, piece));
    MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::segment_end, execute));
    book_.define(execute.segment, std::move(pieces));
  } else {
    counters_.segments_reused++;
    MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::execute, execute));
  }
  // A part that has to be planned is worth a frame of its own, and a server that wakes.
  if (cut == Cut::part && !is_new) return {};
  if (idle_since_ns_ != 0)
    counters_.idle_after_reads_ns += now_ns() - std::exchange(idle_since_ns_, 0);
  unfinished_.push_back(driver_->seq());
  return driver_->flush();
}

Status SessionClient::wait_after(const wire::Segment& segment, bool is_new) {
  uint64_t total = driver_->peer().memory_bytes;
  uint64_t free = total - std::min(total, live_bytes_);
  if (is_new && total != 0 && logical_bytes(segment) > free / 5 * 4 && !unfinished_.empty()) {
    // It may not fit: whoever probes for the largest batch gets the error here, not later.
    counters_.waits_memory++;
    uint64_t seq = unfinished_.back();
    return await("running a large new segment", [&] { return done_seq_ >= seq; });
  }
  auto may_go_on = [&] { return unfinished_.size() <= kUnfinishedSegmentsMax; };
  if (may_go_on()) return {};
  counters_.waits_run_ahead++;
  return await("finishing earlier steps", may_go_on);
}

Status SessionClient::deaths(std::vector<uint64_t> ids) {
  if (driver_->is_idle()) return {};
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  if (!driver_->lost().ok()) return driver_->lost();
  for (size_t at = 0; at < ids.size(); at += kDeathsAMessage) {
    wire::Execute execute;
    size_t end = std::min(ids.size(), at + kDeathsAMessage);
    execute.deaths.assign(ids.begin() + static_cast<ptrdiff_t>(at),
                          ids.begin() + static_cast<ptrdiff_t>(end));
    MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::execute, execute));
  }
  return driver_->flush();
}

StatusOr<UploadRange> SessionClient::upload_range(uint64_t bytes) {
  if (bytes > kWindowBytesMax)
    return Status(StatusCode::resource_exhausted,
                  "An upload of " + size_text(bytes) + " is more than the " +
                      size_text(kWindowBytesMax) + " that one may have. Copy the tensor in parts.");
  std::optional<UploadRange> range = windows_.allocate(bytes);
  if (range) return *range;
  counters_.waits_upload++;
  std::string what = "uploading " + size_text(bytes);
  if (windows_.largest() == 0) {  // the first windows come unasked
    MOAI_RETURN_IF_ERROR(await(what, [&] { return windows_.largest() != 0; }));
    range = windows_.allocate(bytes);
    if (range) return *range;
  }
  MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::window_want, wire::WindowWant{bytes}));
  MOAI_RETURN_IF_ERROR(driver_->flush());
  auto has_range = [&] {
    if (!range) range = windows_.allocate(bytes);
    return range.has_value();
  };
  Status waited = await(what, has_range);
  if (waited.ok()) return *range;
  if (range) windows_.release(range->window, range->offset);
  return waited;
}

// In steps, so that signals and other threads get their turn.
Status SessionClient::write_range(const UploadRange& range, std::span<const std::byte> data) {
  Window window{range.window, range.window_bytes};
  uint64_t polled = now_ns();
  for (uint64_t at = 0; at < data.size(); at += kUploadStepBytes) {
    if (at != 0) {
      driver_->turn().yield();
      if (now_ns() - polled >= kPollNs) {
        MOAI_RETURN_IF_ERROR(driver_->poll_signals());
        polled = now_ns();
      }
      if (!driver_->lost().ok()) return driver_->lost();
    }
    MOAI_RETURN_IF_ERROR(driver_->check(driver_->connection()->write(
        window, range.offset + at,
        data.subspan(at, std::min<uint64_t>(kUploadStepBytes, data.size() - at)),
        in_seconds(kWriteSeconds))));
  }
  return {};
}

Status SessionClient::upload(uint64_t storage, std::span<const std::byte> data) {
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (has_error()) return raise();
  wire::Upload message;
  message.storage = storage;
  message.bytes = data.size();
  message.tag = next_tag_++;
  if (data.size() <= kInlineBytesMax) {
    message.data.assign(data.begin(), data.end());
  } else {
    MOAI_ASSIGN_OR_RETURN(UploadRange range, upload_range(data.size()));
    SpanScope copying(driver_->trace(), "upload", size_text(data.size()));
    if (Status written = write_range(range, data); !written.ok()) {
      windows_.release(range.window, range.offset);
      return written;
    }
    message.window = range.window;
    message.offset = range.offset;
  }
  counters_.bytes_up += data.size();
  MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::upload, message));
  // A step's batch goes with the step, in one frame; the worker moves more while this thread goes
  // on.
  return data.size() < kEarlyUploadBytes ? ok_status() : driver_->flush();
}

Status SessionClient::read(uint64_t storage, const wire::View& view, std::span<std::byte> out) {
  if (out.size() != static_cast<uint64_t>(view.sizes.numel()) * size_of(view.dtype))
    return internal_error("A read of " + std::to_string(view.sizes.numel()) + " elements got " +
                          std::to_string(out.size()) + " bytes of room. Report this as a bug.");
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (has_error()) return raise();
  if (out.empty()) return {};
  wire::Read message;
  message.storage = storage;
  message.view = view;
  message.tag = next_tag_++;
  counters_.waits_read++;
  Status status =
      out.size() <= kInlineBytesMax ? read_inline(message, out) : read_through_window(message, out);
  answers_.erase(message.tag);
  if (status.ok()) counters_.bytes_down += out.size();
  if (unfinished_.empty()) idle_since_ns_ = now_ns();
  return status;
}

Status SessionClient::read_inline(const wire::Read& message, std::span<std::byte> out) {
  MOAI_RETURN_IF_ERROR(ask(wire::Kind::read, wire::encode(message),
                           "reading " + size_text(out.size()), message.tag));
  const wire::Bytes& data = *answers_[message.tag];
  if (data.size() != out.size()) {
    driver_->lose("it answered a read of " + std::to_string(out.size()) + " bytes with " +
                  std::to_string(data.size()));
    return driver_->lost();
  }
  std::memcpy(out.data(), data.data(), out.size());
  return {};
}

Status SessionClient::read_through_window(wire::Read& message, std::span<std::byte> out) {
  MOAI_ASSIGN_OR_RETURN(const ReadWindows::Entry* entry,
                        read_windows_.acquire(*driver_->connection(), out.size(), message.tag));
  message.window = entry->window.handle;
  const std::byte* data = entry->region.data;
  MOAI_RETURN_IF_ERROR(ask(wire::Kind::read, wire::encode(message),
                           "reading " + size_text(out.size()), message.tag));
  std::memcpy(out.data(), data, out.size());
  read_windows_.release(*driver_->connection(), message.tag);
  return {};
}

Status SessionClient::sync(bool plans) {
  if (driver_->is_idle()) return {};
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (has_error()) return raise();
  uint64_t tag = next_tag_++;
  counters_.waits_sync++;
  Status status = ask(wire::Kind::sync, wire::encode(wire::Sync{tag, plans}),
                      plans ? "finishing steps and plans" : "finishing steps", tag);
  answers_.erase(tag);
  return status;
}

Status SessionClient::record_event(uint64_t id) {
  MOAI_RETURN_IF_ERROR(ensure());
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (has_error()) return raise();
  MOAI_RETURN_IF_ERROR(driver_->send_message(wire::Kind::event_record, wire::EventRecord{id}));
  return driver_->flush();
}

StatusOr<uint64_t> SessionClient::event_time(uint64_t id) {
  if (is_forked_) return fork_error();
  if (!driver_->is_connected())
    return Status(StatusCode::again, "The event has not been recorded.");
  std::lock_guard turn(driver_->turn());
  MOAI_RETURN_IF_ERROR(begin());
  if (has_error()) return raise();
  auto at = event_ns_.find(id);
  if (at == event_ns_.end()) return Status(StatusCode::again, "The event is not done.");
  return at->second;
}

Status SessionClient::hint(const std::string& key, const std::string& value) {
  if (is_forked_) return fork_error();
  std::lock_guard turn(driver_->turn());
  queued_hints_.push_back({key, value});
  if (!driver_->is_connected()) return {};
  MOAI_RETURN_IF_ERROR(begin());
  return driver_->flush();
}

SessionCounters SessionClient::counters() const {
  if (is_forked_) return {};
  std::lock_guard turn(driver_->turn());
  SessionCounters counters = counters_;
  if (Connection* connection = driver_->connection()) {
    TransportCounters sums = connection->counters();
    counters.frames_sent = sums.frames_sent;
    counters.frames_received = sums.frames_received;
    counters.transport = connection->path().text;
  }
  return counters;
}

std::vector<std::string> SessionClient::notes() const {
  if (is_forked_) return {};
  std::lock_guard turn(driver_->turn());
  return notes_;
}

std::unique_ptr<Session> make_session(SessionOptions options) {
  return std::make_unique<SessionClient>(std::move(options));
}

}  // namespace moai::frontend
