#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <iostream>

#include "src/frontend/session_client.h"
#include "tests/unit/frontend_fake_server.h"

using namespace moai;
using namespace moai::frontend;
using namespace moai::frontend::test;
using Catch::Matchers::Contains;
using wire::Kind;

namespace {

SessionOptions options_for(const FakeServer& server) {
  SessionOptions o;
  o.server = server.url;
  o.connect_seconds = 5;
  return o;
}

wire::Segment segment_of(uint64_t id) {
  wire::Segment s;
  s.id = {id, id};
  s.names = {"neg"};
  s.slots = {{64, false}, {64, true}};
  s.views = {{DType::f32, false, false, 0, {16}, {1}}};
  s.op_name = {0};
  s.words = {wire::make_tensor(0, 0), wire::make_word(wire::Tag::outputs, 1),
             wire::make_tensor(1, 0)};
  s.op_end = {3};
  return s;
}

wire::Execute execute_of(const wire::Segment& s, uint64_t input = 1) {
  wire::Execute e;
  e.segment = s.id;
  e.bindings = {{0, input}};
  e.first_fresh_id = 100;
  return e;
}

Status run(Session& session, uint64_t id = 1, uint64_t input = 1, Cut cut = Cut::whole) {
  wire::Segment s = segment_of(id);
  bool is_new = false;
  return session.submit(s, execute_of(s, input), cut, is_new);
}

std::vector<std::byte> pattern(size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; i++) data[i] = static_cast<std::byte>(i * 31 + i / 256);
  return data;
}

wire::View bytes_view(size_t bytes) {
  return {DType::u8, false, false, 0, {static_cast<int64_t>(bytes)}, {1}};
}

std::vector<std::byte> read_back(Session& session, uint64_t storage, size_t bytes) {
  std::vector<std::byte> out(bytes);
  Status s = session.read(storage, bytes_view(bytes), out);
  INFO(s.message());
  REQUIRE(s.ok());
  return out;
}

}  // namespace

TEST_CASE("session: what is uploaded is read back, inline and through windows") {
  std::string prefix = GENERATE("unix:@moai/test/", "tcp");
  FakeServer server(prefix == "tcp"
                        ? "tcp://127.0.0.1:" + std::to_string(20000 + ::getpid() % 20000)
                        : fresh_url());
  SessionClient session(options_for(server));
  CHECK_FALSE(session.is_connected());
  uint64_t id = 1;
  for (size_t bytes : {4u, 256u, 257u, 60000u, 65536u, 65537u, 9000000u, 100u}) {
    auto data = pattern(bytes);
    REQUIRE(session.upload(id, data).ok());
    CHECK(read_back(session, id++, bytes) == data);
  }
  CHECK(session.is_connected());
  SessionCounters c = session.counters();
  CHECK(c.waits_read == 8);
  CHECK(c.blocking_round_trips == 8);
  CHECK(c.bytes_up == c.bytes_down);
  CHECK(c.frames_sent > 0);
  CHECK_FALSE(c.transport.empty());
  CHECK(server.count(Kind::window_want) == 2);  // beyond a slab
}

TEST_CASE("session: a repeat is an Execute with what changed") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(run(session, 1, 7).ok());
  REQUIRE(run(session, 1, 7).ok());
  REQUIRE(run(session, 1, 8).ok());
  REQUIRE(session.sync(false).ok());
  CHECK(server.kinds() ==
        std::vector<Kind>{Kind::ops, Kind::segment_end, Kind::execute, Kind::execute, Kind::sync});
  auto e = server.executes();
  CHECK(e[0].is_whole);
  CHECK_FALSE(e[1].is_whole);
  CHECK(e[1].bindings.empty());
  CHECK(e[2].bindings == std::vector<std::pair<uint32_t, uint64_t>>{{0, 8}});
  CHECK(session.counters().segments_new == 1);
  CHECK(session.counters().segments_reused == 2);
  server.needs_segment = true;
  REQUIRE(run(session).ok());
  REQUIRE(server.saw(Kind::segment_def));  // answered by the background thread too
  CHECK(server.defined_ops == 1);
}

TEST_CASE("session: parts of a step travel with its end, new ones at once") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(run(session, 1, 7, Cut::part).ok());
  const uint64_t first = session.counters().frames_sent;
  CHECK(first > 0);
  for (int i = 0; i < 20; i++) REQUIRE(run(session, 1, 7, Cut::part).ok());
  CHECK(session.counters().frames_sent == first);
  REQUIRE(run(session, 1, 7).ok());
  CHECK(session.counters().frames_sent == first + 1);
  REQUIRE(session.sync(false).ok());
  CHECK(server.count(Kind::execute) == 21);
  CHECK(session.counters().waits_run_ahead == 0);
}

TEST_CASE("session: more than four unfinished segments wait") {
  FakeServer server;
  std::atomic<bool> goes_on{true};
  SessionOptions options = options_for(server);
  std::atomic<int> polls{0};
  options.poll = [&] { return polls++, goes_on.load(); };
  SessionClient session(options);
  server.holds_done = true;
  for (uint32_t i = 0; i < kUnfinishedSegmentsMax; i++) REQUIRE(run(session, i).ok());
  CHECK(session.counters().waits_run_ahead == 0);
  goes_on = false;
  CHECK(run(session, 50).code() == StatusCode::interrupted);
  CHECK(session.counters().waits_run_ahead == 1);
  CHECK(server.saw(Kind::segment_end, 5));  // handed over nevertheless
  goes_on = true;
  polls = 0;
  std::thread other([&] {
    while (polls < 2) ::usleep(1000);
    server.holds_done = false;
  });
  CHECK(run(session, 51).ok());
  other.join();
  CHECK(polls >= 2);
  CHECK(session.sync(false).ok());
}

TEST_CASE("session: uploads wait for space, and only then") {
  FakeServer server;
  std::atomic<bool> goes_on{true};
  SessionOptions options = options_for(server);
  options.poll = [&] { return goes_on.load(); };
  SessionClient session(options);
  server.sends_grants = 1;
  server.holds_free = true;
  REQUIRE(session.ensure().ok());
  auto data = pattern(FakeServer::kSlabBytes / 2);
  REQUIRE(session.upload(1, data).ok());
  uint64_t waits = session.counters().waits_upload;  // the first grant may have been on its way
  REQUIRE(session.upload(2, data).ok());
  CHECK(session.counters().waits_upload == waits);
  server.is_mute = true;  // no further window
  goes_on = false;
  CHECK(session.upload(3, data).code() == StatusCode::interrupted);
  CHECK(session.counters().waits_upload == waits + 1);
  goes_on = true;
  server.is_mute = false;
  server.holds_free = false;
  REQUIRE(session.upload(3, data).ok());
  CHECK(read_back(session, 3, data.size()) == data);
  CHECK(read_back(session, 1, data.size()) == data);
}

TEST_CASE("session: an interrupted read leaves the session usable") {
  FakeServer server;
  std::atomic<bool> goes_on{true};
  SessionOptions options = options_for(server);
  options.poll = [&] { return goes_on.load(); };
  SessionClient session(options);
  auto one = pattern(5000), two = pattern(6000);
  REQUIRE(session.upload(1, one).ok());
  REQUIRE(session.upload(2, two).ok());
  server.holds_data = true;
  goes_on = false;
  std::vector<std::byte> out(5000, std::byte{1}), untouched = out;
  CHECK(session.read(1, bytes_view(5000), out).code() == StatusCode::interrupted);
  goes_on = true;
  server.holds_data = false;
  CHECK(read_back(session, 2, 6000) ==
        two);  // the late answer to the first one does not disturb it
  CHECK(out == untouched);
  CHECK(read_back(session, 1, 5000) == one);
}

TEST_CASE("session: an error is raised once, at the next call, and the session goes on") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(run(session).ok());
  REQUIRE(session.sync(false).ok());
  server.fail_in = 1;
  Status submitted = run(session);
  Status raised = submitted.ok() ? session.sync(false) : submitted;
  CHECK(raised.code() == StatusCode::resource_exhausted);
  CHECK(raised.message() == "The step does not fit. Take a smaller batch.");
  REQUIRE(server.saw(Kind::error_seen));
  CHECK(server.seen() == std::vector<uint64_t>{4});  // ops, segment_end, sync, execute
  REQUIRE(run(session).ok());
  REQUIRE(session.sync(false).ok());
  CHECK(server.executes().back().is_whole);
}

TEST_CASE("session: a sticky error repeats") {
  FakeServer server;
  SessionClient session(options_for(server));
  server.fail_in = 1;
  server.fail_is_sticky = true;
  (void)run(session);
  std::vector<std::byte> out(4);
  for (int i = 0; i < 3; i++)
    CHECK(session.read(1, bytes_view(4), out).message() ==
          "The step does not fit. Take a smaller batch.");
  CHECK(run(session).code() == StatusCode::resource_exhausted);
  CHECK(session.upload(3, out).code() == StatusCode::resource_exhausted);
  CHECK(server.count(Kind::error_seen) <= 1);
}

TEST_CASE("session: the death of the server ends a wait at once and stays") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(session.sync(false).ok());
  server.holds_data = true;
  std::thread killer([&] {
    server.saw(Kind::read);
    server.stop();
  });
  std::vector<std::byte> out(4);
  uint64_t begin = now_ns();
  Status lost = session.read(1, bytes_view(4), out);
  CHECK(now_ns() - begin < 3'000'000'000);
  killer.join();
  CHECK(lost.code() == StatusCode::unavailable);
  CHECK_THAT(lost.message(), Contains("The connection to the server has been lost."));
  CHECK_THAT(lost.message(), Contains("worker process"));
  CHECK_THAT(lost.message(), Contains("log of the server"));
  CHECK_THAT(lost.message(), !Contains("support") && !Contains("Check that"));
  CHECK_THAT(lost.message(), Contains(server.url));
  CHECK(session.sync(false).message() == lost.message());
  CHECK(run(session).message() == lost.message());
}

TEST_CASE("session: a silent server is given up, one that answers pings is not") {
  FakeServer server;
  SessionOptions options = options_for(server);
  options.silence_seconds = 1;
  SessionClient session(options);
  REQUIRE(session.sync(false).ok());
  server.holds_data = true;
  std::thread patient([&] {
    ::usleep(1'500'000);
    server.holds_data = false;
  });
  std::vector<std::byte> out(4);
  CHECK(session.read(1, bytes_view(4), out).ok());
  patient.join();
  CHECK(server.count(Kind::hints) >= 1);
  server.is_mute = true;
  Status lost = session.sync(false);
  CHECK(lost.code() == StatusCode::unavailable);
  CHECK_THAT(lost.message(), Contains("no answer for 1.0 s"));
}

TEST_CASE("session: without a server the sentence names the addresses and what to do") {
  SessionOptions options;
  options.connect_seconds = 5;
  std::string one = fresh_url(), two = fresh_url();
  options.server = one + "," + two;
  SessionClient session(options);
  Status s = session.ensure();
  CHECK(s.code() == StatusCode::unavailable);
  CHECK_THAT(s.message(), Contains("No answer from " + one + ", " + two));
  CHECK_THAT(s.message(), Contains("(3 tries)"));
  CHECK_THAT(s.message(), Contains("MOAI_SERVER"));
  CHECK(session.sync(false).message() == s.message());
  SessionClient nothing({});
  CHECK_THAT(nothing.ensure().message(), Contains("moai run"));
}

TEST_CASE("session: that it is connected is told once, before the first call returns") {
  FakeServer server;
  SessionOptions options = options_for(server);
  std::atomic<int> told{0};
  options.on_connected = [&] { told++; };
  SessionClient session(options);
  CHECK(told == 0);
  REQUIRE(session.ensure().ok());
  CHECK(told == 1);
  REQUIRE(run(session).ok());
  CHECK(told == 1);
  options.server = fresh_url();
  options.connect_seconds = 0.1;
  SessionClient lonely(options);
  CHECK_FALSE(lonely.ensure().ok());
  CHECK(told == 1);
}

TEST_CASE("session: the second address is tried") {
  FakeServer server;
  SessionOptions options = options_for(server);
  options.server = fresh_url() + ", " + server.url;
  SessionClient session(options);
  CHECK(session.ensure().ok());
}

TEST_CASE("session: what the server runs, hints, notes, events, memory") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(session.sync(false).ok());  // nothing happened: no connection
  CHECK_FALSE(session.is_connected());
  REQUIRE(session.hint("stages", "2").ok());
  CHECK_FALSE(session.is_connected());
  CHECK(*session.supports("add.Tensor", DType::f32));
  CHECK_FALSE(*session.supports("add.Tensor", DType::i32));
  CHECK_FALSE(*session.supports("mm", DType::f32));
  CHECK(session.event_time(5).status().code() == StatusCode::again);
  REQUIRE(session.record_event(5).ok());
  REQUIRE(run(session).ok());
  StatusOr<uint64_t> ns = session.event_time(5);
  for (int i = 0; i < 2000 && ns.status().code() == StatusCode::again; i++, ::usleep(1000))
    ns = session.event_time(5);
  REQUIRE(ns.ok());
  CHECK(*ns > 1000);
  auto memory = session.memory();
  REQUIRE(memory.ok());
  CHECK(memory->total_bytes == 1 << 30);
  CHECK(memory->live_bytes == 123);
  CHECK(memory->peak_bytes == 456);
  CHECK(session.notes() == std::vector<std::string>{"hint: stages"});
}

TEST_CASE("session: deaths alone travel in an Execute of no segment") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(session.deaths({1, 2}).ok());
  CHECK_FALSE(session.is_connected());
  REQUIRE(session.ensure().ok());
  std::vector<uint64_t> many(40000);
  for (size_t i = 0; i < many.size(); i++) many[i] = i;
  REQUIRE(session.deaths(many).ok());
  REQUIRE(session.sync(false).ok());
  auto e = server.executes();
  REQUIRE(e.size() == 2);
  CHECK(e[0].segment == SegmentId{});
  CHECK(e[0].deaths.size() + e[1].deaths.size() == 40000);
  CHECK(session.counters().segments_new == 0);
}

TEST_CASE("session: a large new segment that does not fit fails at its own cut") {
  FakeServer server;
  server.memory_bytes = 70;
  SessionClient session(options_for(server));
  server.fail_in = 1;
  // At its own cut, though nothing is read.
  CHECK(run(session).code() == StatusCode::resource_exhausted);
}

TEST_CASE("session: only a large segment that is new waits for its memory") {
  FakeServer server;
  server.memory_bytes = 70;
  std::atomic<bool> goes_on{true};
  SessionOptions options = options_for(server);
  options.poll = [&] { return goes_on.load(); };
  SessionClient session(options);
  REQUIRE(session.ensure().ok());
  server.holds_done = true;
  goes_on = false;
  CHECK(run(session).code() == StatusCode::interrupted);
  CHECK(session.counters().waits_memory == 1);
  CHECK(run(session).ok());  // seen before
  CHECK(session.counters().waits_memory == 1);
}

TEST_CASE("session: one thread reads while others hand over") {
  FakeServer server;
  SessionClient session(options_for(server));
  auto data = pattern(3000);
  REQUIRE(session.upload(1, data).ok());
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; i++) {
        std::vector<std::byte> out(3000);
        if (t == 0) wrong += !run(session, static_cast<uint64_t>(i % 5)).ok();
        if (t == 1) wrong += !session.read(1, bytes_view(3000), out).ok() || out != data;
        if (t == 2) wrong += !session.upload(10, data).ok();
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(session.sync(true).ok());
}

TEST_CASE("session: a waiting reader gives the connection away") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(session.ensure().ok());
  server.holds_data = true;
  std::thread reader([&] {
    std::vector<std::byte> out(4);
    (void)session.read(1, bytes_view(4), out);
  });
  REQUIRE(server.saw(Kind::read));
  uint64_t begin = now_ns();
  CHECK(run(session).ok());
  CHECK(now_ns() - begin < 3'000'000'000);
  server.holds_data = false;
  reader.join();
}

TEST_CASE("session: close says so, is quick, and later calls fail") {
  FakeServer server;
  SessionClient session(options_for(server));
  REQUIRE(run(session).ok());
  uint64_t begin = now_ns();
  session.close();
  CHECK(now_ns() - begin < 2'000'000'000);
  CHECK(server.saw(Kind::close));
  CHECK(run(session).code() == StatusCode::unavailable);
  CHECK(session.counters().segments_new == 1);
}

TEST_CASE("session: in a fork child every call says what to do") {
  FakeServer server;
  auto session = std::make_unique<SessionClient>(options_for(server));
  session->forked();  // before the first use: a process of its own
  REQUIRE(session->ensure().ok());
  pid_t child = ::fork();
  if (child == 0) {
    session->forked();
    std::vector<std::byte> out(4);
    bool is_right = session->counters().frames_sent == 0 && !session->is_connected();
    for (const Status& s : {session->ensure(), run(*session), session->read(1, bytes_view(4), out)})
      is_right &= s.message() ==
                  "Cannot re-initialize CUDA in forked subprocess. To use CUDA with "
                  "multiprocessing, you must use "
                  "the 'spawn' start method";
    session->close();
    session.reset();
    ::_exit(is_right ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(session->sync(false).ok());  // the parent goes on
}

TEST_CASE("cost of a read and of a repeated segment", "[.bench]") {
  FakeServer server;
  SessionClient session(options_for(server));
  auto data = pattern(4);
  REQUIRE(session.upload(1, data).ok());
  REQUIRE(run(session).ok());
  auto best_of = [](int rounds, auto f) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < rounds; i++) {
      uint64_t begin = now_ns();
      f();
      best = std::min(best, now_ns() - begin);
    }
    return best;
  };
  std::vector<std::byte> out(4);
  std::cout << "read of 4 bytes: "
            << best_of(2000, [&] { (void)session.read(1, bytes_view(4), out); }) << " ns\n";
  std::cout << "repeated segment handed over: " << best_of(2000, [&] { (void)run(session); })
            << " ns\n";
}
