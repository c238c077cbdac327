// Connecting, sending, waiting; the thread that listens when nobody else does.
#include "src/frontend/driver.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/frontend/dial.h"
#include "src/frontend/progress.h"

namespace moai::frontend {
namespace {

constexpr uint64_t kMillisecondNs = 1'000'000;
constexpr uint64_t kPollNs = 50 * kMillisecondNs;
constexpr double kSendSeconds = 10;
// A server that does not answer is worth a line soon: a wrong address is the likely cause.
constexpr double kConnectLogSeconds = 2;
// The background thread takes over when nobody came for so long.
constexpr double kIdleSeconds = 0.02;
constexpr double kBackgroundWaitSeconds = 10;
constexpr auto kCloseTime = std::chrono::milliseconds(900);

}  // namespace

Driver::Driver(SessionOptions options, Handler on_message)
    : options_(std::move(options)), on_message_(std::move(on_message)) {
  if (options_.trace_path.empty()) return;
  if (Status status = trace_.open(options_.trace_path, "client"); !status.ok())
    log_warning(status.message());
}

Driver::~Driver() { close(); }

Status Driver::ensure() {
  if (stage_ == Stage::connected) return {};
  std::unique_lock lock(stage_mutex_);
  if (stage_ == Stage::idle) {
    if (is_closing_)
      return unavailable("The session is closed. Start the program again to use the accelerator.");
    stage_ = Stage::connecting;
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  }
  uint64_t begin = now_ns();
  ProgressLine progress(kConnectLogSeconds);
  while (stage_ == Stage::connecting) {
    stage_changed_.wait_for(lock, std::chrono::nanoseconds(kPollNs));
    if (stage_ != Stage::connecting) break;
    std::string what = "connecting to " + (trying_.empty() ? options_.server : trying_) +
                       ", at most " + std::to_string(std::lround(options_.connect_seconds)) + " s";
    lock.unlock();
    progress.tick(what, now_ns() - begin);
    if (options_.poll && !options_.poll())
      return {StatusCode::interrupted, "Connecting was interrupted."};
    lock.lock();
  }
  return stage_ == Stage::connected ? ok_status() : failure_;
}

// True when it slept to the end.
bool Driver::sleep_for(double seconds) {
  std::unique_lock lock(stage_mutex_);
  return !stage_changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                                  [this] { return is_closing_.load(); });
}

void Driver::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the program's
  if (connect()) drive_when_idle();
  std::lock_guard lock(stage_mutex_);
  is_finished_ = true;
  stage_changed_.notify_all();
}

bool Driver::connect() {
  StatusOr<Dialed> dialed = dial({options_.server, options_.command, options_.connect_seconds,
                                  [this] { return is_closing_.load(); },
                                  [this](const std::string& text) {
                                    std::lock_guard lock(stage_mutex_);
                                    trying_ = text;
                                  }});
  if (dialed.ok() && options_.on_connected) options_.on_connected();
  std::lock_guard lock(stage_mutex_);
  if (is_closing_) dialed = unavailable("The session was closed while it connected.");
  if (dialed.ok()) {
    std::lock_guard turn(turn_);
    connection_ = std::move(dialed->connection);
    peer_ = std::move(dialed->peer);
    url_ = std::move(dialed->url);
    turn_.set_connection(connection_.get());
  } else {
    failure_ = dialed.status();
  }
  stage_ = dialed.ok() ? Stage::connected : Stage::failed;
  stage_changed_.notify_all();
  return dialed.ok();
}

void Driver::drive_when_idle() {
  uint64_t seen = turn_.count();
  while (sleep_for(kIdleSeconds)) {
    if (uint64_t count = turn_.count(); count != seen) {
      seen = count;
      continue;
    }
    std::lock_guard turn(turn_);
    seen = turn_.count();
    while (lost_.ok() && !turn_.is_wanted() && !is_closing_) {
      drain();
      if (!lost_.ok()) break;
      Status s = connection_->wait(in_seconds(kBackgroundWaitSeconds));
      if (!s.ok() && s.code() != StatusCode::deadline_exceeded) drain(), (void)check(s);
    }
    if (!lost_.ok()) return;
  }
}

void Driver::lose(const std::string& cause) {
  if (!lost_.ok()) return;
  lost_ = unavailable(
      "The connection to the server has been lost. Server " + url_ + ": " + cause +
      ". The worker process of this session has ended or cannot be reached; the log of the server "
      "says more. Start the program again.");
}

Status Driver::check(Status sent) {
  if (!lost_.ok()) return lost_;
  if (sent.ok()) return sent;
  std::string cause = sent.message();
  while (!cause.empty() && cause.back() == '.') cause.pop_back();
  lose(cause);
  return lost_;
}

Deadline Driver::send_deadline() { return in_seconds(kSendSeconds); }

Status Driver::send(wire::Kind kind, wire::Span body) {
  if (!lost_.ok()) return lost_;
  seq_++;
  return check(outbox_.send(*connection_, kind, body, send_deadline()));
}

Status Driver::flush() {
  if (!lost_.ok()) return lost_;
  return check(outbox_.flush(*connection_, send_deadline()));
}

void Driver::drain() {
  while (lost_.ok()) {
    if (Status status = connection_->next_message(arrived_); !status.ok()) {
      if (status.code() != StatusCode::again) (void)check(status);
      return;
    }
    messages_++;
    Status whole =
        wire::for_each_message(static_cast<wire::Kind>(arrived_.kind), arrived_.body, on_message_);
    if (!whole.ok()) lose("it sent a malformed message (" + whole.message() + ")");
  }
}

// The server answers pings while it computes: silence means that it, or the way to it, is gone.
// Only time in which this process listened counts, not that in which it was stopped or waited for
// the interpreter.
Status Driver::keep_alive(Silence& silence) {
  uint64_t now = now_ns();
  uint64_t step = std::min(now - silence.seen_ns, 2 * kPollNs);
  silence.seen_ns = now;
  if (silence.messages != messages_) {
    silence.messages = messages_;
    silence.silent_ns = 0;
    silence.has_pinged = false;
    return {};
  }
  silence.silent_ns += step;
  const auto most = static_cast<uint64_t>(options_.silence_seconds * 1e9);
  if (silence.silent_ns >= most) {
    char cause[48];
    std::snprintf(cause, sizeof cause, "no answer for %.1f s", options_.silence_seconds);
    lose(cause);
    return lost_;
  }
  if (silence.has_pinged || silence.silent_ns < most / 2) return {};
  silence.has_pinged = true;
  MOAI_RETURN_IF_ERROR(send_message(wire::Kind::hints, wire::Hints{"ping", ""}));
  return flush();
}

Status Driver::poll_signals() {
  if (!options_.poll) return lost_;
  turn_.unlock();
  bool goes_on = options_.poll();
  turn_.lock();
  if (!goes_on) return {StatusCode::interrupted, "Waiting for the accelerator was interrupted."};
  return lost_;
}

Status Driver::wait_until(std::string_view what, const std::function<bool()>& is_done) {
  const uint64_t begin = now_ns();
  uint64_t polled = begin;
  Silence silence{messages_, begin};
  ProgressLine progress;
  if (!outbox_.is_empty()) (void)flush();
  while (true) {
    drain();
    if (is_done()) return {};
    if (!lost_.ok()) return lost_;
    if (is_closing_)
      return unavailable("The session was closed while a thread waited for the accelerator.");
    turn_.yield();
    if (is_done()) return {};
    MOAI_RETURN_IF_ERROR(keep_alive(silence));
    uint64_t now = now_ns();
    if (now - polled >= kPollNs) {
      progress.tick(what, now - begin);
      MOAI_RETURN_IF_ERROR(poll_signals());
      polled = now_ns();
      if (is_done()) return {};
    }
    Status s = connection_->wait({polled + kPollNs});
    if (!s.ok() && s.code() != StatusCode::deadline_exceeded) {
      drain();  // what came before the end
      if (is_done()) return {};
      return check(s);
    }
  }
}

void Driver::close() {
  {
    std::lock_guard lock(stage_mutex_);
    if (is_closing_.exchange(true)) return;
    stage_changed_.notify_all();
  }
  if (stage_ == Stage::connected && turn_.try_lock_for(kCloseTime)) {
    if (lost_.ok()) {
      (void)outbox_.send(*connection_, wire::Kind::close, wire::Span{}, in_seconds(0.3));
      (void)outbox_.flush(*connection_, in_seconds(0.3));
      connection_->close();
      lost_ = unavailable("The session is closed. Start the program again to use the accelerator.");
    }
    turn_.unlock();
  }
  if (!thread_.joinable()) return;
  bool is_finished = false;
  {
    std::unique_lock lock(stage_mutex_);
    is_finished = stage_changed_.wait_for(lock, kCloseTime, [this] { return is_finished_; });
  }
  if (is_finished)
    thread_.join();
  else
    thread_.detach();
}

}  // namespace moai::frontend
