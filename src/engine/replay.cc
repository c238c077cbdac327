#include "src/engine/replay.h"

#include <utility>

#include "src/base/clock.h"
#include "src/device/open/open.h"
#include "src/engine/compile.h"
#include "src/engine/recording.h"
#include "src/engine/session.h"
#include "src/wire/outbox.h"

namespace moai::engine {

namespace {

// A client that says what the file says and looks at the answers only to count them.
class RecordedClient final : public Connection {
 public:
  RecordedClient(std::unique_ptr<RecordingReader> reader, ReplayResult& result)
      : reader_(std::move(reader)), result_(result) {}

  Status send(uint8_t kind, std::span<const std::byte> body, Deadline) override {
    Status status;
    MOAI_RETURN_IF_ERROR(wire::for_each_message(static_cast<wire::Kind>(kind), body,
                                                [&](wire::Kind inner, wire::Span message) {
                                                  if (status.ok()) status = count(inner, message);
                                                }));
    return status;
  }
  Status count(wire::Kind kind, wire::Span body) {
    if (kind == wire::Kind::error) {
      MOAI_ASSIGN_OR_RETURN(wire::Error error, wire::decode<wire::Error>(body));
      result_.errors.push_back(error.text);
    } else if (kind == wire::Kind::data) {
      MOAI_ASSIGN_OR_RETURN(wire::Data data, wire::decode<wire::Data>(body));
      result_.bytes_read += data.data.size();
    } else if (kind == wire::Kind::done) {
      MOAI_ASSIGN_OR_RETURN(wire::Done done, wire::decode<wire::Done>(body));
      result_.plans_built = done.plans_built;
      result_.segments_run = done.plans_built + done.plan_hits;
      result_.busy_ns = done.busy_ns;
    }
    return ok_status();
  }
  Status flush(Deadline) override { return ok_status(); }
  // One at a time: a recording may be larger than memory.
  Status next_message(Message& message) override {
    if (std::exchange(has_given_, !has_given_)) return Status{StatusCode::again, ""};
    Status status = reader_->next(message.kind, message.body);
    if (status.code() == StatusCode::not_found) return unavailable(status.message());
    message.seq = ++result_.messages;
    return status;
  }
  Status wait(Deadline) override { return ok_status(); }
  void wake() override {}
  // Uploads are inline in a recording: windows are granted and never used.
  StatusOr<Region> make_region(uint64_t bytes) override { return Region{nullptr, bytes, 0}; }
  void free_region(Region) override {}
  StatusOr<Window> grant(const Region& region) override { return Window{++handle_, region.bytes}; }
  Status revoke(const Window&) override { return ok_status(); }
  Status write(const Window&, uint64_t, std::span<const std::byte> from, Deadline) override {
    result_.bytes_read += from.size();
    return ok_status();
  }
  Status read(const Window&, uint64_t, std::span<std::byte>, Deadline) override {
    return unimplemented(
        "[replay] a recording holds its uploads inline and has no window to read; record the "
        "program again");
  }
  int event_fd() const override { return -1; }
  const PathInfo& path() const override { return path_; }
  TransportCounters counters() const override { return {}; }
  void close() override {}

 private:
  std::unique_ptr<RecordingReader> reader_;
  ReplayResult& result_;
  uint64_t handle_ = 0;
  bool has_given_ = false;
  PathInfo path_{"replay", "a recording"};
};

}  // namespace

StatusOr<ReplayResult> replay(const std::string& path, const ReplayOptions& options) {
  MOAI_ASSIGN_OR_RETURN(std::unique_ptr<RecordingReader> reader, RecordingReader::open(path));
  std::unique_ptr<Device> device = open_device("cpu", {options.threads, options.memory_bytes});
  if (device == nullptr) return internal_error("replay: the cpu device does not open");
  ReplayResult result;
  FixedLender lender(options.memory_bytes);
  SessionOptions session;
  session.memory_bytes = options.memory_bytes;
  session.trace_path = options.trace_path;
  session.compiler = [&result, compile = make_compiler({})](const wire::Segment& segment,
                                                            std::span<const uint32_t> live_out) {
    uint64_t begin = now_ns();
    StatusOr<sched::Plan> plan = compile(segment, live_out);
    result.plan_ns += now_ns() - begin;
    result.planned_ops += segment.op_count();
    return plan;
  };
  uint64_t begin = now_ns();
  Status status = Session(std::make_unique<RecordedClient>(std::move(reader), result), *device,
                          lender, std::move(session))
                      .run();
  result.wall_ns = now_ns() - begin;
  if (!status.ok() && status.code() != StatusCode::unavailable) return status;
  return result;
}

}  // namespace moai::engine
