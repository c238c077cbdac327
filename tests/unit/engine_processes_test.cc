// Supervisor and worker processes against a real connection: sessions, memory that is lent, deaths.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "src/engine/status_answer.h"
#include "src/engine/supervisor.h"
#include "tests/support/scripted_client.h"
#include "transport/open/open.h"

namespace moai::engine {
namespace {

using testing::LinearSegment;
using testing::ScriptedClient;
using wire::Kind;

constexpr uint64_t kMemory = 256 << 20;

class Server {
 public:
  Server() {
    ::signal(SIGPIPE, SIG_IGN);
    static std::atomic<int> count{0};
    name_ = "moai/test/" + std::to_string(::getpid()) + "/" + std::to_string(count++);
    SupervisorOptions options;
    options.listen_urls = {"unix:@" + name_};
    options.memory_bytes = kMemory;
    options.threads = 1;
    const char* binary = std::getenv("MOAI_BINARY");
    REQUIRE(binary != nullptr);
    options.executable = binary;
    supervisor_ = std::make_unique<Supervisor>(options);
    Status started = supervisor_->start();
    INFO(started.message());
    REQUIRE(started.ok());
    thread_ = std::thread([this] { ended_ = supervisor_->run(); });
  }
  ~Server() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    supervisor_->stop();
    thread_.join();
    CHECK(ended_.ok());
    supervisor_.reset();
  }
  transport::Address address() const { return {transport::Address::Kind::unix_abstract, name_, 0}; }

  std::unique_ptr<ScriptedClient> connect(const std::string& route = "session NEW") {
    auto socket = transport::connect_to(address(), in_seconds(5));
    REQUIRE(socket.ok());
    REQUIRE(transport::send_route(*socket, route, in_seconds(5)).ok());
    wire::Hello hello;
    hello.command = "python test.py";
    hello.pid = ::getpid();
    wire::Bytes bytes = wire::encode(hello);
    transport::HandshakeOptions handshake;
    handshake.hello.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    auto opened = transport::open_client(std::move(*socket), handshake, in_seconds(10));
    INFO(opened.status().message());
    REQUIRE(opened.ok());
    auto peer = wire::decode<wire::Hello>(std::as_bytes(std::span(opened->peer_hello)));
    REQUIRE(peer.ok());
    peer_ = *peer;
    return std::make_unique<ScriptedClient>(std::move(opened->connection));
  }
  const wire::Hello& peer() const { return peer_; }

 private:
  std::string name_;
  std::unique_ptr<Supervisor> supervisor_;
  std::thread thread_;
  Status ended_;  // read after thread_ ended
  wire::Hello peer_;
};

void train_once(ScriptedClient& client) {
  LinearSegment linear;
  client.upload(1, {1, 2, 3, 4, 5, 6});
  client.upload(2, {1, 0, 0, 0, 1, 0});
  client.upload(3, {10, 20});
  client.await_done(client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4)));
  CHECK(client.read(4, {2, 2}) == std::vector<float>{11, 22, 14, 25});
}

TEST_CASE("sessions one after another and side by side have workers of their own") {
  Server server;
  auto first = server.connect();
  int64_t first_pid = server.peer().pid;
  CHECK(server.peer().memory_bytes == kMemory);
  train_once(*first);
  auto second = server.connect();
  CHECK(server.peer().pid != first_pid);
  train_once(*second);
  train_once(*first);
  first->connection().close();
  auto third = server.connect();
  train_once(*third);
}

TEST_CASE("the op table names what the server lowers") {
  Server server;
  auto client = server.connect();
  auto table = client->await_as<wire::OpTable>(Kind::op_table);
  CHECK(table.names.size() > 50);
  CHECK(table.names.size() == table.dtype_masks.size());
}

TEST_CASE("status shows who runs and what it holds") {
  Server server;
  StatusOr<wire::StatusReply> idle = ask_status(server.address(), in_seconds(5));
  INFO(idle.status().message());
  REQUIRE(idle.ok());
  CHECK(idle->memory_bytes == kMemory);
  CHECK(idle->jobs.empty());
  auto client = server.connect();
  train_once(*client);
  Deadline deadline = in_seconds(5);
  StatusOr<wire::StatusReply> busy = ask_status(server.address(), deadline);
  while (busy.ok() && (busy->jobs.empty() || busy->jobs[0].bytes == 0) && !has_passed(deadline))
    busy = ask_status(server.address(), deadline);
  REQUIRE(busy.ok());
  REQUIRE(busy->jobs.size() == 1);
  CHECK(busy->jobs[0].pid == ::getpid());
  CHECK(busy->jobs[0].command == "python test.py");
  CHECK(busy->used_bytes > 0);
}

// A fresh tensor of so many floats, filled.
uint64_t fill(ScriptedClient& client, uint64_t id, int64_t count) {
  testing::SegmentBuilder builder;
  auto y = builder.fresh(DType::f32, {count});
  builder.op("full").integers({count}).scalar(1.0).none().none().none().none().out({y});
  builder.segment().id = {static_cast<uint64_t>(count), id};
  wire::Execute execute;
  execute.first_fresh_id = id;
  execute.live_out = {y.slot};
  execute.scalars = builder.scalars();
  return client.define(builder.segment(), execute);
}

TEST_CASE("memory is lent first come, and comes back with the end of a session") {
  Server server;
  constexpr int64_t kMost = 40 << 20;  // floats: 160 of 256 MiB
  auto first = server.connect();
  first->await_done(fill(*first, 1, kMost));
  auto second = server.connect();
  uint64_t seq = fill(*second, 1, kMost);
  auto error = second->await_as<wire::Error>(Kind::error);
  CHECK(error.text.find("out of memory") != std::string::npos);
  second->send(Kind::error_seen, wire::ErrorSeen{seq});
  first->connection().close();
  // The supervisor learns of the end a moment later.
  bool has_run = false;
  for (uint64_t id = 2; id < 50 && !has_run; id++) {
    ::usleep(50'000);
    seq = fill(*second, id, kMost);
    second->await_done(seq);
    has_run = !second->has_kept(Kind::error);
    if (!has_run) {
      second->await(Kind::error);
      second->send(Kind::error_seen, wire::ErrorSeen{seq});
    }
  }
  CHECK(has_run);
}

// Whether the client learns within a second that its server is gone.
bool learns_of_the_end(ScriptedClient& client) {
  Deadline deadline = in_seconds(1);
  while (!has_passed(deadline)) {
    StatusOr<Message> message = client.connection().next_message();
    if (!message.ok() && message.status().code() == StatusCode::unavailable) return true;
    if (!message.ok() && client.connection().wait(deadline).code() == StatusCode::unavailable)
      return true;
  }
  return false;
}

TEST_CASE("a worker that is killed is the end of its session alone") {
  Server server;
  auto first = server.connect();
  auto pid = static_cast<pid_t>(server.peer().pid);
  auto second = server.connect();
  train_once(*first);
  train_once(*second);
  REQUIRE(::kill(pid, SIGKILL) == 0);
  CHECK(learns_of_the_end(*first));
  train_once(*second);
}

TEST_CASE("the end of the supervisor is the end of its workers") {
  Server server;
  auto client = server.connect();
  auto pid = static_cast<pid_t>(server.peer().pid);
  train_once(*client);
  server.stop();
  CHECK(learns_of_the_end(*client));
  CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("what speaks another language, or nothing, holds nobody up") {
  Server server;
  std::vector<transport::Socket> silent;
  for (int i = 0; i < 300; i++) {
    auto socket = transport::connect_to(server.address(), in_seconds(5));
    if (socket.ok()) silent.push_back(std::move(*socket));
  }
  auto stranger = transport::connect_to(server.address(), in_seconds(5));
  if (stranger.ok()) (void)!::write(stranger->fd(), "GET / HTTP/1.1\r\n\r\n", 18);
  // Silent ones are dropped after two seconds.
  ::usleep(2'500'000);
  auto client = server.connect();
  train_once(*client);
}

}  // namespace
}  // namespace moai::engine
