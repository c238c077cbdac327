// Drives a session's connection: connects on a thread of its own, sends, waits, notices the end.
// What messages mean is the owner's business.
//
// Thread rule: functions marked [turn] need turn() held, which is also what guards everything of
// the owner. A thread that waits drives the connection itself; the background thread does so only
// when nobody used it for a moment.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "src/base/trace.h"
#include "src/frontend/session.h"
#include "src/frontend/turn.h"
#include "src/wire/outbox.h"

namespace moai::frontend {

// Owned by shared_ptr: a connect that cannot be hurried outlives close().
class Driver : public std::enable_shared_from_this<Driver> {
 public:
  using Handler = std::function<void(wire::Kind, wire::Span)>;  // [turn]

  Driver(SessionOptions options, Handler on_message);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Connects if need be and waits for it. The first failure stays.
  Status ensure();
  bool is_idle() const { return stage_ == Stage::idle; }
  bool is_connected() const { return stage_ == Stage::connected; }
  const wire::Hello& peer() const { return peer_; }  // once connected
  Turn& turn() { return turn_; }

  // [turn] ok, or why the connection is of no use any more.
  const Status& lost() const { return lost_; }
  void lose(const std::string& cause);
  Connection* connection() { return connection_.get(); }
  // Queues the message until flush() and counts it.
  Status send(wire::Kind kind, wire::Span body);
  template <class M>
  Status send_message(wire::Kind kind, const M& message) {
    if (!lost_.ok()) return lost_;
    seq_++;
    return check(outbox_.send(*connection_, kind, message, send_deadline()));
  }
  // The sequence number of the last one sent.
  uint64_t seq() const { return seq_; }
  Status flush();
  // Handles what has arrived.
  void drain();
  // Until is_done(); `interrupted` when the poll function says so, else why the connection was
  // lost. Gives the turn away while it sleeps, so is_done may look at nothing that only this turn
  // protects. `what` is for the progress line: "reading 4.0 MiB".
  Status wait_until(std::string_view what, const std::function<bool()>& is_done);
  // Runs the poll function without the turn. `interrupted`, or why the connection was lost
  // meanwhile.
  Status poll_signals();
  Status check(Status sent);
  // [turn]
  Trace& trace() { return trace_; }

  void close();

 private:
  static Deadline send_deadline();
  enum class Stage : uint8_t { idle, connecting, connected, failed };
  void run();
  bool connect();
  void drive_when_idle();
  struct Silence {
    uint64_t messages = 0, seen_ns = 0, silent_ns = 0;
    bool has_pinged = false;
  };
  Status keep_alive(Silence& silence);
  bool sleep_for(double seconds);

  const SessionOptions options_;
  const Handler on_message_;

  std::mutex stage_mutex_;  // guards what follows
  std::condition_variable stage_changed_;
  std::atomic<Stage> stage_{Stage::idle};
  Status failure_;
  std::string trying_;        // the server that is asked now, while connecting
  bool is_finished_ = false;  // run() returned
  std::thread thread_;
  std::atomic<bool> is_closing_{false};

  Turn turn_;  // guards what follows
  std::unique_ptr<Connection> connection_;
  wire::Hello peer_;
  wire::Outbox outbox_;
  Trace trace_;
  Message arrived_;
  std::string url_;
  Status lost_;
  uint64_t seq_ = 0, messages_ = 0;  // sent, received
};

}  // namespace moai::frontend
