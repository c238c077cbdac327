// One session in a worker: messages in, execution in their order, answers out.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "src/base/trace.h"
#include "src/engine/executor.h"
#include "src/engine/line.h"
#include "src/engine/recording.h"
#include "src/engine/slabs.h"

namespace moai::engine {

struct SessionOptions {
  uint64_t memory_bytes = 0;  // of the accelerator
  Compiler compiler;
  std::vector<std::string> op_names;  // OpTable
  std::vector<uint32_t> op_dtype_masks;
  std::string trace_path, record_path;  // empty: none
  std::function<void(uint64_t live_bytes, uint64_t busy_ns)>
      on_progress;  // after work, from run()'s thread
  // The client went away while something ran, which nobody can stop but the end of the process.
  std::function<void()> on_lost;
};

class Session {
 public:
  // The connection and the device belong to run()'s thread, which also has to make the session.
  Session(std::unique_ptr<Connection> connection, Device& device, MemoryLender& lender,
          SessionOptions options);
  ~Session();

  // Serves until the client closes (ok), is gone (unavailable) or breaks the protocol
  // (invalid_argument).
  Status run();

 private:
  Status greet();
  Status decode();
  Status handle();
  Status handle_execute();
  StatusOr<const Defined*> define(wire::Segment segment);
  StatusOr<const Defined*> definition_of_item();
  Status handle_upload(const wire::Upload& upload);
  Status handle_read(const wire::Read& read);
  Status send_read(const wire::Read& read, const Stored& stored);
  Status write_read(const wire::Read& read, const Stored& stored);
  Status handle_hint(const wire::Hints& hint);
  Status fail(uint64_t seq, const Failure& failure);
  Status report();
  Status send_done();
  Status queue_done();
  void lost();
  void record(uint8_t kind, wire::Span body);
  void span(const char* name, uint64_t begin_ns, uint64_t amount, const char* unit);

  SessionOptions options_;
  std::unique_ptr<RecordingWriter> recording_;
  Trace trace_;
  Line line_;
  Slabs slabs_;
  SegmentStore segments_;
  RecentBindings bindings_;
  Executor executor_;

  // The message under way, and what answers it: their memory serves the next ones.
  Item item_ = Line::make_item();
  struct Decoded {
    wire::Execute execute;
    wire::Read read;
    wire::Upload upload;
    wire::WindowWant window_want;
    wire::Sync sync;
    wire::EventRecord event_record;
    wire::ErrorSeen error_seen;
    wire::Hints hints;
  } message_;
  wire::Data data_;
  wire::Done done_;
  std::vector<std::byte> staging_, gather_scratch_;

  Failure failure_;  // what ErrorSeen has to answer; ok: all runs
  uint64_t failed_seq_ = 0;
  uint64_t finished_seq_ = 0, reported_seq_ = 0;
  uint64_t reported_ns_ = 0;
  bool has_unreported_ = false;  // an execution
  bool is_closed_ = false;
};

}  // namespace moai::engine
