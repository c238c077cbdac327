// A scripted server for the session client: answers like a lead worker, and misbehaves when told
// to.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "src/base/clock.h"
#include "src/frontend/session.h"
#include "src/wire/messages.h"
#include "src/wire/outbox.h"
#include "transport/open/open.h"

namespace moai::frontend::test {

inline std::string fresh_url(const char* prefix = "unix:@moai/test/") {
  static std::atomic<int> number{0};
  return prefix + std::to_string(::getpid()) + "/" + std::to_string(number++);
}

class FakeServer {
  template <class F>
  auto locked(F f) {
    std::lock_guard lock(mutex_);
    return f();
  }

 public:
  static constexpr uint64_t kSlabBytes = 64 << 10;

  explicit FakeServer(std::string address = fresh_url()) : url(std::move(address)) {
    auto parsed = transport::parse_address(url);
    REQUIRE(parsed.ok());
    auto socket = transport::listen_on(*parsed);
    REQUIRE(socket.ok());
    listener_ = std::move(*socket);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeServer() { stop(); }
  // Ends it like a process that dies.
  void stop() {
    is_stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // What it was sent, whole.
  std::vector<wire::Kind> kinds() {
    return locked([&] { return kinds_; });
  }
  std::vector<wire::Execute> executes() {
    return locked([&] { return executes_; });
  }
  std::vector<uint64_t> seen() {
    return locked([&] { return seen_; });
  }
  size_t count(wire::Kind kind) {
    auto all = kinds();
    return static_cast<size_t>(std::count(all.begin(), all.end(), kind));
  }
  bool saw(wire::Kind kind, size_t times = 1, double seconds = 5) {
    for (Deadline end = in_seconds(seconds); !has_passed(end); ::usleep(1000))
      if (count(kind) >= times) return true;
    return false;
  }

  const std::string url;
  // Switches of the script.
  std::atomic<bool> holds_done{false}, holds_free{false}, holds_data{false}, is_mute{false};
  std::atomic<int> fail_in{0};  // the n-th execution from now fails
  std::atomic<bool> fail_is_sticky{false};
  std::atomic<bool> needs_segment{false};  // asks at the next Execute
  std::atomic<uint64_t> memory_bytes{1 << 30};
  std::atomic<uint64_t> defined_ops{0};  // rows of the segment_def that answered
  std::atomic<uint32_t> sends_grants{2};

 private:
  void serve() {
    pollfd ready{listener_.fd(), POLLIN, 0};
    while (!is_stopping_ && ::poll(&ready, 1, 20) <= 0) {
    }
    transport::Socket socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.fd() < 0) return;
    if (!transport::take_route(socket, in_seconds(5)).ok()) return;
    wire::Hello hello;
    hello.version = "test";
    hello.memory_bytes = memory_bytes;
    wire::Bytes bytes = wire::encode(hello);
    transport::HandshakeOptions options;
    options.hello.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    auto opened = transport::open_server(std::move(socket), options, in_seconds(5));
    if (!opened.ok()) return;
    connection_ = std::move(opened->connection);
    send(wire::Kind::op_table, wire::OpTable{{"add.Tensor"}, {mask_of(DType::f32)}});
    for (uint32_t i = 0; i < sends_grants; i++) grant(kSlabBytes);
    while (!is_stopping_) {
      release_held();
      auto message = connection_->next_message();
      if (message.ok()) {
        (void)wire::for_each_message(static_cast<wire::Kind>(message->kind), message->body,
                                     [&](wire::Kind k, wire::Span body) { handle(k, body); });
        continue;
      }
      if (message.status().code() != StatusCode::again) break;
      (void)connection_->flush(in_seconds(1));
      Status s = connection_->wait(in_seconds(0.005));
      if (!s.ok() && s.code() != StatusCode::deadline_exceeded) break;
    }
    connection_->close();
  }

  template <class M>
  void send(wire::Kind kind, const M& m) {
    if (!is_mute)
      (void)connection_->send(static_cast<uint8_t>(kind), wire::encode(m), in_seconds(5));
  }
  void grant(uint64_t size) {
    auto region = connection_->make_region(size);
    if (!region.ok()) return;
    auto window = connection_->grant(*region);
    if (!window.ok()) return;
    regions_[window->handle] = *region;
    send(wire::Kind::window_grant, wire::WindowGrant{window->handle, size});
  }
  void done() {
    wire::Done m;
    m.seq = finished_;
    m.live_bytes = 123;
    m.peak_bytes = 456;
    m.events = std::exchange(events_, {});
    send(wire::Kind::done, m);
    reported_ = finished_;
  }
  void release_held() {
    if (!holds_done && reported_ != finished_) done();
    if (!holds_free)
      for (auto& f : std::exchange(held_free_, {})) send(wire::Kind::window_free, f);
    if (!holds_data)
      for (auto& r : std::exchange(held_reads_, {})) answer(r);
  }
  void answer(const wire::Read& r) {
    std::vector<std::byte> data = contents_[r.storage];
    data.resize(static_cast<size_t>(r.view.sizes.numel()) * size_of(r.view.dtype));
    wire::Data d{r.tag, {}};
    if (r.window == 0)
      d.data = data;
    else
      (void)connection_->write({r.window, r.offset + data.size()}, r.offset, data, in_seconds(5));
    send(wire::Kind::data, d);
  }
  template <class M>
  M get(wire::Span body) {
    auto m = wire::decode<M>(body);
    return m.ok() ? *m : M{};
  }

  void handle(wire::Kind kind, wire::Span body) {
    using wire::Kind;
    seq_++;
    locked([&] { kinds_.push_back(kind); });
    switch (kind) {
      case Kind::ops: rows_ += get<wire::Ops>(body).part.op_count(); break;
      case Kind::segment_end:
      case Kind::execute: execute(get<wire::Execute>(body)); break;
      case Kind::segment_def: defined_ops = std::exchange(rows_, 0); break;
      case Kind::upload: upload(get<wire::Upload>(body)); break;
      case Kind::window_want: grant(get<wire::WindowWant>(body).bytes); break;
      case Kind::read:
        if (is_failed_) break;
        if (holds_data)
          held_reads_.push_back(get<wire::Read>(body));
        else
          answer(get<wire::Read>(body));
        break;
      case Kind::sync:
        if (!is_failed_) send(Kind::data, wire::Data{get<wire::Sync>(body).tag, {}});
        break;
      case Kind::event_record:
        events_.emplace_back(get<wire::EventRecord>(body).id, 1000 + seq_);
        break;
      case Kind::error_seen:
        is_failed_ = false;
        locked([&] { seen_.push_back(get<wire::ErrorSeen>(body).seq); });
        break;
      case Kind::hints:
        if (get<wire::Hints>(body).key == "ping")
          send(Kind::note, wire::Note{"ping", ""});
        else
          send(Kind::note, wire::Note{"hint", get<wire::Hints>(body).key});
        break;
      default: break;
    }
    finished_ = seq_;
  }
  void execute(wire::Execute e) {
    locked([&] { executes_.push_back(e); });
    if (rows_ != 0) rows_ = 0;
    if (needs_segment.exchange(false))
      send(wire::Kind::need_segment, wire::NeedSegment{e.segment, seq_});
    if (fail_in > 0 && --fail_in == 0) {
      is_failed_ = true;
      send(wire::Kind::error,
           wire::Error{static_cast<uint8_t>(StatusCode::resource_exhausted), fail_is_sticky, seq_,
                       0, "The step does not fit. Take a smaller batch."});
    }
  }
  void upload(const wire::Upload& u) {
    auto& to = contents_[u.storage];
    to = u.data;
    if (u.window == 0) return;
    const std::byte* from = regions_[u.window].data + u.offset;
    to.assign(from, from + u.bytes);
    wire::WindowFree f{u.window, u.offset, u.bytes};
    if (holds_free)
      held_free_.push_back(f);
    else
      send(wire::Kind::window_free, f);
  }

  transport::Socket listener_;
  std::thread thread_;
  std::atomic<bool> is_stopping_{false};
  std::mutex mutex_;  // guards the next three
  std::vector<wire::Kind> kinds_;
  std::vector<wire::Execute> executes_;
  std::vector<uint64_t> seen_;
  // Of the server's thread.
  std::unique_ptr<Connection> connection_;
  std::map<uint64_t, Region> regions_;
  std::map<uint64_t, std::vector<std::byte>> contents_;
  std::vector<wire::WindowFree> held_free_;
  std::vector<wire::Read> held_reads_;
  std::vector<std::pair<uint64_t, uint64_t>> events_;
  uint64_t seq_ = 0, finished_ = 0, reported_ = 0;
  size_t rows_ = 0;
  bool is_failed_ = false;
};

}  // namespace moai::frontend::test
