#include "src/engine/session.h"

#include <algorithm>
#include <utility>

#include "moai/limits.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/memory_counts.h"
#include "src/engine/strided.h"

namespace moai::engine {

namespace {
// How long a client that waits for its run-ahead may hear nothing of what is done.
constexpr uint64_t kReportNs = 500'000;
constexpr uint64_t kStagingBytes = 1 << 20;  // stays in the cache between two copies
constexpr uint64_t kInlineReadBytesMax = kMessageBytesMax - 4096;  // room for the fields around it
}  // namespace

Session::Session(std::unique_ptr<Connection> connection, Device& device, MemoryLender& lender,
                 SessionOptions options)
    : options_(std::move(options)),
      line_(
          std::move(connection),
          options_.record_path.empty()
              ? MessageTap{}
              : [this](uint8_t kind, wire::Span body) { record(kind, body); },
          [this] { lost(); }),
      slabs_(line_, options_.memory_bytes),
      executor_(device, lender, options_.memory_bytes, options_.compiler) {
  // A first small read or upload may come late, in a step that is steady otherwise.
  data_.data.reserve(kInlineBytesMax);
  message_.upload.data.reserve(kInlineBytesMax);
  if (!options_.trace_path.empty()) {
    if (Status status = trace_.open(options_.trace_path, "worker"); !status.ok())
      log_warning(status.message());
    executor_.set_trace(
        [this](const char* name, uint64_t begin, uint64_t end, const std::string& detail) {
          trace_.span(name, begin, end, detail);
        });
  }
  if (!options_.record_path.empty()) {
    StatusOr<std::unique_ptr<RecordingWriter>> writer = RecordingWriter::open(options_.record_path);
    if (writer.ok())
      recording_ = std::move(*writer);
    else
      log_warning(writer.status().message());
  }
}

Session::~Session() = default;

void Session::lost() {
  if (recording_ != nullptr) recording_->flush();
  if (options_.on_lost) options_.on_lost();
}

void Session::record(uint8_t kind, wire::Span body) {
  if (recording_ == nullptr) return;
  if (static_cast<wire::Kind>(kind) != wire::Kind::upload) return recording_->add(kind, body);
  // The bytes are in place when the message arrives.
  StatusOr<wire::Upload> upload = wire::decode<wire::Upload>(body);
  if (!upload.ok()) return;
  StatusOr<std::span<const std::byte>> bytes = slabs_.find(*upload);
  if (!bytes.ok()) return;
  wire::Upload whole = *upload;
  whole.window = whole.offset = 0;
  whole.data.assign(bytes->begin(), bytes->end());
  recording_->add(kind, wire::encode(whole));
}

void Session::span(const char* name, uint64_t begin_ns, uint64_t amount, const char* unit) {
  if (trace_.is_open()) trace_.span(name, begin_ns, now_ns(), std::to_string(amount) + " " + unit);
}

Status Session::greet() {
  MOAI_RETURN_IF_ERROR(
      line_.send(wire::Kind::op_table, wire::OpTable{options_.op_names, options_.op_dtype_masks}));
  MOAI_RETURN_IF_ERROR(slabs_.start());
  return line_.flush();
}

Status Session::run() {
  MOAI_RETURN_IF_ERROR(greet());
  while (!is_closed_) {
    if (!line_.has_next()) MOAI_RETURN_IF_ERROR(report());
    MOAI_RETURN_IF_ERROR(line_.next(item_));
    Status status = item_.status.ok() ? decode() : item_.status;
    if (!status.ok()) {
      (void)fail(item_.seq, {status, true});
      return status;
    }
    MOAI_RETURN_IF_ERROR(handle());
    finished_seq_ = item_.seq;
    has_unreported_ |= item_.kind == wire::Kind::execute || item_.kind == wire::Kind::segment_end;
    // Parts of a step come together and are told of together.
    if (has_unreported_ && now_ns() - reported_ns_ > kReportNs) MOAI_RETURN_IF_ERROR(send_done());
  }
  return ok_status();
}

Status Session::decode() {
  using wire::Kind;
  switch (item_.kind) {
    case Kind::segment_end:
    case Kind::execute: return wire::decode_into(item_.body, message_.execute);
    case Kind::read: return wire::decode_into(item_.body, message_.read);
    case Kind::upload: return wire::decode_into(item_.body, message_.upload);
    case Kind::window_want: return wire::decode_into(item_.body, message_.window_want);
    case Kind::sync: return wire::decode_into(item_.body, message_.sync);
    case Kind::event_record: return wire::decode_into(item_.body, message_.event_record);
    case Kind::error_seen: return wire::decode_into(item_.body, message_.error_seen);
    case Kind::hints: return wire::decode_into(item_.body, message_.hints);
    default: return ok_status();
  }
}

Status Session::handle() {
  using wire::Kind;
  switch (item_.kind) {
    case Kind::segment_end:
    case Kind::execute: return handle_execute();
    case Kind::segment_def: {
      if (item_.definition == nullptr) return ok_status();  // answered NeedSegment already
      StatusOr<const Defined*> defined = define(std::move(*item_.definition));
      return defined.ok() ? ok_status() : fail(item_.seq, {defined.status(), true});
    }
    case Kind::read: return handle_read(message_.read);
    case Kind::upload: return handle_upload(message_.upload);
    case Kind::window_want: {
      Status status = slabs_.want(message_.window_want.bytes);
      return status.code() == StatusCode::resource_exhausted ? fail(item_.seq, {status, false})
                                                             : status;
    }
    case Kind::sync: {
      if (!failure_.ok()) return ok_status();  // the client learns of the error instead
      if (finished_seq_ != reported_seq_) MOAI_RETURN_IF_ERROR(send_done());
      data_.tag = message_.sync.tag;
      data_.data.clear();
      MOAI_RETURN_IF_ERROR(line_.send(Kind::data, data_));
      return line_.flush();
    }
    case Kind::event_record:
      done_.events.emplace_back(message_.event_record.id, now_ns());
      return ok_status();
    case Kind::error_seen:
      if (!failure_.is_sticky && message_.error_seen.seq == failed_seq_) failure_ = {};
      return ok_status();
    case Kind::hints: return handle_hint(message_.hints);
    case Kind::close: is_closed_ = true; return ok_status();
    default: return ok_status();  // ops: collected when they arrived
  }
}

Status Session::handle_hint(const wire::Hints& hint) {
  if (hint.key == "reset_peak") executor_.reset_peak();
  if (hint.key == "empty_cache") executor_.pool().trim();
  return ok_status();
}

StatusOr<const Defined*> Session::define(wire::Segment segment) {
  uint64_t begin = now_ns();
  size_t ops = segment.op_count();
  StatusOr<const Defined*> defined = segments_.define(std::move(segment));
  span("decode", begin, ops, "ops");
  return defined;
}

StatusOr<const Defined*> Session::definition_of_item() {
  if (item_.kind == wire::Kind::segment_end) return define(std::move(*item_.definition));
  const SegmentId& id = message_.execute.segment;
  if (const Defined* known = segments_.find(id)) return known;
  MOAI_RETURN_IF_ERROR(line_.send(wire::Kind::need_segment, wire::NeedSegment{id, item_.seq}));
  MOAI_RETURN_IF_ERROR(line_.flush());
  MOAI_ASSIGN_OR_RETURN(std::unique_ptr<wire::Segment> segment, line_.await_definition(id));
  return define(std::move(*segment));
}

Status Session::handle_execute() {
  const wire::Execute& execute = message_.execute;
  if (execute.segment == SegmentId{}) {  // nothing runs: storages died between two cuts
    executor_.kill(execute.deaths);
    return ok_status();
  }
  StatusOr<const Defined*> defined = definition_of_item();
  if (!defined.ok()) {
    if (defined.status().code() == StatusCode::unavailable) return defined.status();
    return fail(item_.seq, {defined.status(), true});
  }
  // In message order even when nothing runs: both ends count alike.
  StatusOr<const std::vector<uint64_t>*> by_slot = bindings_.update((*defined)->segment, execute);
  if (!by_slot.ok()) return fail(item_.seq, {by_slot.status(), true});
  Status status;
  if (failure_.ok()) {
    Failure failure;
    {
      ComputeScope compute(line_);
      failure = executor_.execute(**defined, **by_slot, execute);
    }
    if (!failure.ok()) {
      executor_.poison(**defined, execute, failure);
      status = fail(item_.seq, failure);
    }
  } else {
    executor_.poison(**defined, execute, failure_);
  }
  executor_.kill(execute.deaths);
  return status;
}

Status Session::handle_upload(const wire::Upload& upload) {
  uint64_t begin = now_ns();
  StatusOr<std::span<const std::byte>> bytes = slabs_.find(upload);
  if (!bytes.ok()) return fail(item_.seq, {bytes.status(), true});
  if (failure_.is_sticky) return slabs_.release(upload);
  StatusOr<Block> block = executor_.begin_upload(upload.storage, upload.bytes);
  if (block.ok()) {
    executor_.device().copy_in(block->data, bytes->data(), bytes->size());
    span("upload", begin, upload.bytes, "bytes");
    return slabs_.release(upload);
  }
  bool is_sticky = block.status().code() != StatusCode::resource_exhausted;
  Failure failure{block.status(), is_sticky};
  if (!is_sticky) executor_.poison_upload(upload.storage, upload.bytes, failure);
  MOAI_RETURN_IF_ERROR(slabs_.release(upload));
  return failure_.ok() ? fail(item_.seq, failure) : ok_status();
}

Status Session::handle_read(const wire::Read& read) {
  if (!failure_.ok()) return ok_status();  // the client learns of the error instead
  uint64_t begin = now_ns();
  StatusOr<const Stored*> stored = executor_.find_readable(read);
  if (!stored.ok()) return fail(item_.seq, {stored.status(), false});
  if (read.window != 0 && read.offset > kWindowBytesMax)
    return fail(item_.seq, {invalid("[read] the place in the window is out of range"), true});
  if (has_unreported_) MOAI_RETURN_IF_ERROR(queue_done());
  if (read.window == 0 && view_bytes(read.view) > kInlineReadBytesMax)
    return fail(item_.seq, {invalid("[read] " + std::to_string(view_bytes(read.view)) +
                                    " bytes do not fit a message; give a window"),
                            false});
  MOAI_RETURN_IF_ERROR(read.window == 0 ? send_read(read, **stored) : write_read(read, **stored));
  span("read", begin, view_bytes(read.view), "bytes");
  return line_.flush();
}

Status Session::send_read(const wire::Read& read, const Stored& stored) {
  data_.tag = read.tag;
  data_.data.resize(view_bytes(read.view));
  gather(executor_.device(), read.view, stored.block.data, gather_scratch_, data_.data.data());
  return line_.send(wire::Kind::data, data_);
}

Status Session::write_read(const wire::Read& read, const Stored& stored) {
  uint64_t bytes = view_bytes(read.view);
  Window window{read.window, read.offset + bytes};
  bool is_row = is_row_major(read.view);
  uint64_t chunk = is_row ? std::min(bytes, kStagingBytes) : bytes;
  if (staging_.size() < chunk) staging_.resize(chunk);
  const std::byte* from =
      stored.block.data + read.view.offset * static_cast<int64_t>(size_of(read.view.dtype));
  if (!is_row)
    gather(executor_.device(), read.view, stored.block.data, gather_scratch_, staging_.data());
  for (uint64_t done = 0; done < bytes; done += chunk) {
    uint64_t size = std::min(chunk, bytes - done);
    if (is_row) executor_.device().copy_out(staging_.data(), from + done, size);
    MOAI_RETURN_IF_ERROR(line_.connection().write(
        window, read.offset + done, std::span(staging_.data(), size), Line::send_deadline()));
  }
  for (std::vector<std::byte>* scratch : {&staging_, &gather_scratch_})
    if (scratch->size() > 16 * kStagingBytes) std::vector<std::byte>().swap(*scratch);
  data_.tag = read.tag;
  data_.data.clear();
  return line_.send(wire::Kind::data, data_);
}

Status Session::fail(uint64_t seq, const Failure& failure) {
  failure_ = failure;
  failed_seq_ = seq;
  wire::Error error;
  error.code = static_cast<uint8_t>(failure.status.code());
  error.is_sticky = failure.is_sticky;
  error.segment_seq = seq;
  error.op_index = failure.op_index;
  error.text = failure.status.message();
  MOAI_RETURN_IF_ERROR(line_.send(wire::Kind::error, error));
  return line_.flush();
}

// While nothing is left to do. Only executions and events are told unasked: each frame wakes the
// client.
Status Session::report() {
  if (has_unreported_ || !done_.events.empty()) return send_done();
  if (line_.has_unsent()) MOAI_RETURN_IF_ERROR(line_.flush());
  if (options_.on_progress)
    options_.on_progress(executor_.values().live_bytes(), executor_.counters().busy_ns);
  return ok_status();
}

Status Session::send_done() {
  MOAI_RETURN_IF_ERROR(queue_done());
  return line_.flush();
}

Status Session::queue_done() {
  const ExecutorCounters& counters = executor_.counters();
  wire::Done& done = done_;
  done.seq = reported_seq_ = finished_seq_;
  reported_ns_ = now_ns();
  done.busy_ns = counters.busy_ns;
  done.live_bytes = executor_.values().live_bytes();
  done.peak_bytes = std::max(counters.peak_bytes, done.live_bytes);
  done.queue_depth = static_cast<uint32_t>(line_.depth());
  done.plans_built = executor_.plans().plans_built();
  done.plans_resized = executor_.plans().plans_resized();
  done.kernels_built = executor_.plans().kernels_built();
  done.plan_hits = executor_.plans().hits();
  done.planning_ns = executor_.plans().planning_ns();
  done.run_allocations = counters.run_allocations;
  done.frames_received = line_.connection().counters().frames_received;
  done.allocations = memory_counts.allocations.load(std::memory_order_relaxed);
  done.mappings = memory_counts.mappings.load(std::memory_order_relaxed);
  MOAI_RETURN_IF_ERROR(line_.send(wire::Kind::done, done));
  done.events.clear();
  has_unreported_ = false;
  return ok_status();
}

}  // namespace moai::engine
