// The server's end of a session's connection: who drives it, and what arrived, in order.
//
// The executing thread drives the connection itself while it is idle, so a read costs no thread
// hop. While it computes, a watching thread takes over: it collects messages and answers pings.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "moai/transport.h"
#include "src/base/ring.h"
#include "src/engine/collector.h"
#include "src/wire/messages.h"
#include "src/wire/outbox.h"

namespace moai::engine {

// A message as it came; whoever consumes it decodes it. seq counts what the client sent, from 1.
struct Item {
  uint64_t seq = 0;
  wire::Kind kind = wire::Kind::close;
  Status status;                              // why it cannot be used
  wire::Bytes body;                           // not of ops, which are collected as they come
  std::unique_ptr<wire::Segment> definition;  // segment_end, segment_def
};

// Sees every message before it is decoded, for --record.
using MessageTap = std::function<void(uint8_t kind, wire::Span body)>;

class Line {
 public:
  // on_lost: the client went away during a computation; called by the watching thread.
  explicit Line(std::unique_ptr<Connection> connection, MessageTap tap = {},
                std::function<void()> on_lost = {});
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // The next message in order; waits for it. unavailable: the client is gone. What `into` had comes
  // back in a later message, so that nothing is allocated.
  Status next(Item& into);
  bool has_next();
  size_t depth() const { return items_.size(); }
  // Waits for the definition that answers NeedSegment, wherever it stands among the messages.
  StatusOr<std::unique_ptr<wire::Segment>> await_definition(const SegmentId& id);

  template <class M>
  Status send(wire::Kind kind, const M& message) {
    return outbox_.send(*connection_, kind, message, send_deadline());
  }
  // What was sent since the last one goes out, in one frame if it fits.
  Status flush() { return outbox_.flush(*connection_, send_deadline()); }
  bool has_unsent() const { return !outbox_.is_empty(); }
  Connection& connection() { return *connection_; }
  static Deadline send_deadline();
  // One to give to next(), with room for a frame.
  static Item make_item();

  // Between the two the watching thread may own the connection; the caller may not touch it.
  void begin_compute();
  void end_compute();

 private:
  Status receive_all();   // what has arrived, without waiting
  Status receive_more();  // waits for at least one message
  void take();
  void add(wire::Kind kind, Item& item);
  void watch();
  Status prepare(Item& item);
  Status answer_ping(wire::Span body);

  std::unique_ptr<Connection> connection_;
  MessageTap tap_;
  std::function<void()> on_lost_;
  wire::Outbox outbox_;
  Collector collector_;
  Message arrived_;
  Ring<Item> items_;
  uint64_t received_ = 0;
  Status lost_;  // set once the client is gone

  std::mutex mutex_;                             // whoever holds it owns everything above
  std::atomic<uint64_t> computing_since_ns_{0};  // 0: the executing thread owns the connection
  std::atomic<bool> wants_back_{false}, is_stopping_{false};
  std::mutex watch_mutex_;
  std::condition_variable watch_wake_;
  std::thread watcher_;
};

// Holds the line open for the watcher while it lives.
class ComputeScope {
 public:
  explicit ComputeScope(Line& line) : line_(line) { line_.begin_compute(); }
  ~ComputeScope() { line_.end_compute(); }
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

 private:
  Line& line_;
};

}  // namespace moai::engine
