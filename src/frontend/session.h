// The client's end of a session: connects at first use, hands segments over, reads back. No PyTorch
// here.
//
// What both ends agree on beyond the structs of src/wire/messages.h:
// * The sequence number of a message is its place in the session: each end counts the messages that
// the client
//   sent after the handshake, of every kind, the first is 1. Done, Error and NeedSegment mean this
//   number.
// * Segment_end always binds whole and defines its segment, again if need be. An Execute binds the
// difference only
//   if its segment is among the kRecentSegments different ones most recently named by Execute or
//   segment_end, in message order. An error that was raised empties that list at the client: it
//   starts whole again.
// * An Execute with segment {0, 0} runs nothing and only carries deaths; it does not enter the
// list.
// * Ops come in pieces that an appender may join blindly: only the first begins at row 0; names,
// texts, slots and
//   views may come earlier or later than the rows that use them. scalar_count is that of the whole
//   segment in each.
// * Upload ranges come back by WindowFree alone. Windows, also those for a WindowWant, serve any
// upload that fits
//   until window_revoke, whose body is WindowFree{handle}.
// * Hints{"ping"} is answered by Note{"ping"} at once, whatever runs.
// * Executions, reads and syncs that are sent after a failed message and before ErrorSeen are
// dropped: nobody waits
//   for them.
//
// Thread rule: all functions may be called from any thread. Calls that wait take a poll function
// that the caller's thread runs every 50 ms (signals); returning false ends the wait with
// `interrupted`.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moai/status.h"
#include "src/wire/messages.h"

namespace moai::frontend {

struct SessionOptions {
  std::string server;      // URL[,URL...]; empty: nothing configured
  std::string command;     // for moreh-smi
  std::string trace_path;  // spans go there; empty: none
  double connect_seconds = 30;
  double silence_seconds = 10;  // nothing heard for so long, pings included: the server is lost
  std::function<bool()> poll;   // false: stop waiting
  // Runs once, on a thread of the session, before the first call that needs the server returns.
  std::function<void()> on_connected;
};

// What the worker said about itself in its last Done.
struct WorkerCounters {
  uint64_t frames_received = 0, plans_built = 0, kernels_built = 0, plan_hits = 0;
  uint64_t allocations = 0, mappings = 0;  // calls of malloc and of mmap
  uint64_t planning_ns = 0, plans_resized = 0;
};

// Counters of `moai run --stats`; all since the process began.
struct SessionCounters {
  uint64_t steps = 0, ops_recorded = 0, views = 0, blocking_round_trips = 0;
  uint64_t bytes_up = 0, bytes_down = 0;
  uint64_t segments_new = 0, segments_reused = 0;  // unknown at their cut, known
  uint64_t frames_sent = 0, frames_received = 0;
  uint64_t waits_read = 0, waits_sync = 0, waits_upload = 0, waits_run_ahead = 0, waits_memory = 0;
  // From the end of a read that left the server without work to the next work for it.
  uint64_t idle_after_reads_ns = 0;
  std::string transport;
  WorkerCounters worker;
};

struct MemoryInfo {
  uint64_t total_bytes = 0, live_bytes = 0, peak_bytes = 0;
};

// What ended a segment.
enum class Cut : uint8_t {
  whole,  // the program wants something of it, or it was full
  step,   // of an optimizer
  part,   // it was better split here; the rest follows soon
};

class Session {
 public:
  virtual ~Session() = default;

  // Connects if need be. The first failure is sticky: every later call repeats it.
  virtual Status ensure() = 0;
  virtual bool is_connected() const = 0;
  // Whether the server lowers `name` for a first operand of this dtype (connects).
  virtual StatusOr<bool> supports(const std::string& name, DType dtype) = 0;
  virtual StatusOr<MemoryInfo> memory() = 0;  // connects

  // Hand-over of a cut segment; `execute` binds it whole. Encodes it only if the server does not
  // know it yet, and sends the difference of the bindings where it can. Waits only while more than
  // kUnfinishedSegmentsMax are unfinished, known parts not counted, or for the memory of a large
  // new segment. A pending error is returned here, after the hand-over: the segment is never lost,
  // nor when the wait is interrupted. is_new: whether the server had to be told of the segment.
  virtual Status submit(const wire::Segment& segment, wire::Execute execute, Cut cut,
                        bool& is_new) = 0;
  // A new storage with these bytes; `data` may be reused when it returns.
  virtual Status upload(uint64_t storage, std::span<const std::byte> data) = 0;
  // Deaths that cannot wait for a cut.
  virtual Status deaths(std::vector<uint64_t> ids) = 0;
  // The elements of a view, row-major, into `out`. Requires: everything before was submitted.
  virtual Status read(uint64_t storage, const wire::View& view, std::span<std::byte> out) = 0;
  // Waits until all that was submitted is done; plans: and no background work is left.
  virtual Status sync(bool plans) = 0;
  // A time stamp of the server when all before is done. Does not wait.
  virtual Status record_event(uint64_t id) = 0;
  // Nanoseconds of a recorded event once done; code `again` while it is not (never waits).
  virtual StatusOr<uint64_t> event_time(uint64_t id) = 0;
  virtual Status hint(const std::string& key, const std::string& value) = 0;

  virtual SessionCounters counters() const = 0;
  virtual std::vector<std::string> notes() const = 0;
  // In a fork child: forget the connection untouched; every call fails with CUDA's sentence.
  virtual void forked() = 0;
  virtual void close() = 0;
};

std::unique_ptr<Session> make_session(SessionOptions options);

}  // namespace moai::frontend
