// The door: addresses, route line, handshake, refusals, descriptors, processes that die.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/conformance/transport_pairs.h"
#include "transport/open/open.h"

using namespace moai;
using namespace moai::transport;
using namespace moai::transport::testing;

namespace {

// From a process's end to our knowledge. Under a sanitizer the kernel first unmaps its huge shadow.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kDeathNs = 1'000'000'000;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr uint64_t kDeathNs = 1'000'000'000;
#else
constexpr uint64_t kDeathNs = 100'000'000;
#endif
#else
constexpr uint64_t kDeathNs = 100'000'000;
#endif

std::pair<Socket, Socket> socket_pair() {
  int fds[2] = {-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Socket(fds[0]), Socket(fds[1])};
}

void write_raw(const Socket& s, std::string_view bytes) {
  REQUIRE(::send(s.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

int open_descriptors() {
  int n = 0;
  DIR* d = ::opendir("/proc/self/fd");
  REQUIRE(d != nullptr);
  while (::readdir(d)) n++;
  ::closedir(d);
  return n;
}

bool has(const Status& s, std::string_view text) {
  return s.message().find(text) != std::string::npos;
}

// Both ends on a socket pair; each with its options.
std::pair<StatusOr<Opened>, StatusOr<Opened>> shake_hands(HandshakeOptions client,
                                                          HandshakeOptions server) {
  auto [a, b] = socket_pair();
  std::pair<StatusOr<Opened>, StatusOr<Opened>> out{Status(), Status()};
  std::thread t([&, s = std::move(b)]() mutable {
    out.second = open_server(std::move(s), server, in_seconds(5));
  });
  out.first = open_client(std::move(a), client, in_seconds(5));
  t.join();
  return out;
}

}  // namespace

TEST_CASE("addresses are parsed and printed") {
  for (const char* url :
       {"unix:/run/moai.sock", "unix:@moai/1000/abc", "tcp://host:1", "tcp://[::1]:7780"}) {
    auto a = parse_address(url);
    REQUIRE(a.ok());
    CHECK(to_string(*a) == url);
  }
  auto a = parse_address("tcp://10.0.0.1");
  REQUIRE(a.ok());
  CHECK(a->port == 7780);
  for (const char* url :
       {"", "unix:", "unix:@", "tcp://", "tcp://:1", "tcp://a:", "tcp://a:b", "tcp://a:65536",
        "tcp://a:1x", "tcp://[::1", "tcp://[::1]x", "tcp://[::1]:", "tcp://a/b", "http://a", "a"})
    CHECK(parse_address(url).status().code() == StatusCode::invalid_argument);
}

TEST_CASE("tcp listens on loopback alone unless told otherwise") {
  for (const char* host : {"127.0.0.1", "127.3.2.1", "localhost"})
    CHECK(listen_on({Address::Kind::tcp, host, 0}).ok());
  auto refused = listen_on({Address::Kind::tcp, "0.0.0.0", 0});
  CHECK(refused.status().code() == StatusCode::permission_denied);
  CHECK(has(refused.status(), "--insecure-listen"));
  CHECK(listen_on({Address::Kind::tcp, "0.0.0.0", 0}, true).ok());
}

TEST_CASE("no server, a busy address, a stale path") {
  const std::string path = "/tmp/moai-test-" + std::to_string(getpid()) + ".sock";
  const Address at{Address::Kind::unix_path, path, 0};
  auto none = connect_to(at, in_seconds(1));
  CHECK(none.status().code() == StatusCode::unavailable);
  CHECK(has(none.status(), path));
  {
    auto first = listen_on(at);
    REQUIRE(first.ok());
    CHECK(has(listen_on(at).status(), "already"));
    CHECK((::fcntl(first->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(listen_on(at).ok());  // the path stayed, nobody listens
  ::unlink(path.c_str());
  CHECK_FALSE(listen_on({Address::Kind::unix_path, std::string(200, 'x'), 0}).ok());
  auto closed = listen_on({Address::Kind::tcp, "127.0.0.1", 0});
  REQUIRE(closed.ok());
  auto where = local_address(*closed);
  REQUIRE(where.ok());
  *closed = Socket();
  CHECK(connect_to(*where, in_seconds(1)).status().code() == StatusCode::unavailable);
}

TEST_CASE("the route line has 64 bytes and can be looked at first") {
  CHECK(route_line("control").size() == kRouteBytes);
  CHECK(route_line("control").starts_with("moai/1 control "));
  CHECK(route_line("control").back() == '\n');
  auto [a, b] = socket_pair();
  REQUIRE(send_route(a, "session NEW", in_seconds(1)).ok());
  for (int i = 0; i < 2; i++) CHECK(*peek_route(b, in_seconds(1)) == "session NEW");
  CHECK(*take_route(b, in_seconds(1)) == "session NEW");
  CHECK(peek_route(b, in_seconds(0.02)).status().code() == StatusCode::deadline_exceeded);
  CHECK_FALSE(send_route(a, std::string(60, 'x'), in_seconds(1)).ok());
  write_raw(a, "moai/1 cont");  // half a line
  CHECK(peek_route(b, in_seconds(0.02)).status().code() == StatusCode::deadline_exceeded);
}

TEST_CASE("a peer that is not moai is refused with a sentence") {
  auto [a, b] = socket_pair();
  write_raw(a, "GET / HTTP/1.1\r\n");
  auto s = take_route(b, in_seconds(5)).status();
  CHECK(s.code() == StatusCode::invalid_argument);
  CHECK(has(s, "does not speak moai"));
  auto [c, d] = socket_pair();
  write_raw(c, "moai/2 session");
  CHECK(peek_route(d, in_seconds(5)).status().code() == StatusCode::version_mismatch);
  auto [e, f] = socket_pair();
  write_raw(e, "HTTP/1.1 400 Bad Request\r\n");
  s = open_client(std::move(f), {}, in_seconds(5)).status();
  CHECK(has(s, "does not speak moai"));
  auto [g, h] = socket_pair();
  write_raw(g, "SSH-2.0-OpenSSH");
  s = open_server(std::move(h), {}, in_seconds(5)).status();
  CHECK(has(s, "does not speak moai"));
}

TEST_CASE("the handshake has a deadline and bears every early end") {
  auto [a, b] = socket_pair();
  const uint64_t start = now_ns();
  const Status silent = open_server(std::move(b), {}, in_seconds(0.05)).status();
  CHECK(silent.code() == StatusCode::deadline_exceeded);
  CHECK(now_ns() - start < 500'000'000);
  // What a client says, cut after every byte.
  auto [c, d] = socket_pair();
  const Status unanswered = open_client(std::move(c), {.hello = "abc"}, in_seconds(0.01)).status();
  REQUIRE_FALSE(unanswered.ok());
  char hello[256];
  const ssize_t n = ::recv(d.fd(), hello, sizeof hello, 0);
  REQUIRE(n > 3);
  for (ssize_t cut = 0; cut < n; cut++) {
    auto [e, f] = socket_pair();
    write_raw(e, std::string_view(hello, static_cast<size_t>(cut)));
    e = Socket();
    const Status early = open_server(std::move(f), {}, in_seconds(5)).status();
    CHECK(early.code() == StatusCode::unavailable);
  }
  // And with every byte of its head changed: never more than a Status.
  for (ssize_t i = 0; i < 40; i++) {
    std::string bad(hello, static_cast<size_t>(n));
    bad[static_cast<size_t>(i)] ^= static_cast<char>(0x81);
    auto [e, f] = socket_pair();
    write_raw(e, bad);
    ::shutdown(e.fd(), SHUT_WR);
    auto opened = open_server(std::move(f), {}, in_seconds(5));
    if (opened.ok()) CHECK_FALSE(opened->connection->wait(in_seconds(0.01)).ok());
  }
}

TEST_CASE("hellos are exchanged, at most 16 KiB") {
  auto [client, server] = shake_hands({.hello = "from client"}, {.hello = "from server"});
  REQUIRE((client.ok() && server.ok()));
  CHECK(client->peer_hello == "from server");
  CHECK(server->peer_hello == "from client");
  CHECK(client->connection->path().transport == "shm");
  CHECK(server->connection->path().transport == "shm");
  const std::string longest(kHelloBytesMax - 40, 'h');
  CHECK(shake_hands({.hello = longest}, {}).second.ok());
  auto [a, b] = socket_pair();
  const Status too_long =
      open_client(std::move(a), {.hello = longest + "h"}, in_seconds(1)).status();
  CHECK(too_long.code() == StatusCode::invalid_argument);
}

TEST_CASE("another schema is refused at both ends") {
  auto [client, server] = shake_hands({.schema = 1}, {.schema = 2});
  CHECK(client.status().code() == StatusCode::version_mismatch);
  CHECK(server.status().code() == StatusCode::version_mismatch);
}

TEST_CASE("without shared memory the path says why") {
  for (bool client_offers : {false, true}) {
    auto [client, server] =
        shake_hands({.offer_shm = client_offers}, {.offer_shm = !client_offers});
    REQUIRE((client.ok() && server.ok()));
    CHECK(client->connection->path().transport == "tcp");
    CHECK(client->connection->path().text.find("switched off") != std::string::npos);
    CHECK(server->connection->path().text.find("switched off") != std::string::npos);
    REQUIRE(client->connection->send(1, {}, in_seconds(1)).ok());
    REQUIRE(client->connection->flush(in_seconds(1)).ok());
    CHECK(server->connection->wait(in_seconds(1)).ok());
    CHECK(server->connection->next_message().ok());
  }
}

TEST_CASE("descriptors pass between processes with a text, and the peer's uid is known") {
  auto [a, b] = socket_pair();
  auto [c, d] = socket_pair();
  REQUIRE(send_fd(a, c.fd(), "session 42").ok());
  auto got = receive_fd(b, in_seconds(1));
  REQUIRE(got.ok());
  CHECK(got->second == "session 42");
  CHECK((::fcntl(got->first.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  write_raw(got->first, "x");
  char x = 0;
  CHECK(::recv(d.fd(), &x, 1, 0) == 1);
  auto uid = peer_uid(a);
  REQUIRE(uid.ok());
  CHECK(*uid == ::geteuid());
  auto tcp = listen_on({Address::Kind::tcp, "127.0.0.1", 0});
  REQUIRE(tcp.ok());
  CHECK(peer_uid(*tcp).status().code() == StatusCode::not_found);
  write_raw(a, std::string("\x01\0\0\0y", 5));  // a text without a descriptor
  CHECK_FALSE(receive_fd(b, in_seconds(1)).ok());
}

TEST_CASE("1000 connections leave no descriptor behind") {
  for (const PairMaker& maker : all_makers()) {
    INFO(maker.name);
    maker.make();  // what is set up once
    const int before = open_descriptors();
    const int rounds = maker.name == "shm" ? 1000 : 200;
    for (int i = 0; i < rounds; i++) {
      Pair p = maker.make();
      REQUIRE((p.client && p.server));
      auto r = p.server->make_region(4096);
      REQUIRE(r.ok());
      REQUIRE(p.server->grant(*r).ok());
      if (i % 3 == 0) p.server->free_region(*r);
      if (i % 2 == 0) p.client->close();
    }
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("a killed process is noticed within 100 ms") {
  for (bool offer_shm : {true, false}) {
    auto [ours, theirs] = socket_pair();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ours = Socket();
      auto opened = open_client(std::move(theirs), {.offer_shm = offer_shm}, in_seconds(5));
      while (opened.ok()) ::pause();
      ::_exit(1);
    }
    theirs = Socket();
    auto opened = open_server(std::move(ours), {.offer_shm = offer_shm}, in_seconds(5));
    REQUIRE(opened.ok());
    CHECK(opened->connection->wait(in_seconds(0.02)).code() == StatusCode::deadline_exceeded);
    ::kill(child, SIGKILL);
    const uint64_t start = now_ns();
    CHECK(opened->connection->wait(in_seconds(5)).code() == StatusCode::unavailable);
    CHECK(now_ns() - start < kDeathNs);
    ::waitpid(child, nullptr, 0);
  }
}

TEST_CASE("a forked child neither uses a connection nor keeps it open") {
  for (bool offer_shm : {true, false}) {
    auto [client, server] = shake_hands({.offer_shm = offer_shm}, {.offer_shm = offer_shm});
    REQUIRE((client.ok() && server.ok()));
    auto [ready, told] = socket_pair();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Connection& c = *client->connection;
      const bool is_refused = c.send(1, {}, in_seconds(1)).code() == StatusCode::unavailable &&
                              c.next_message().status().code() == StatusCode::unavailable;
      c.wake();
      c.close();
      const char answer = is_refused ? 'y' : 'n';
      if (::write(told.fd(), &answer, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char answer = 0;
    REQUIRE(::read(ready.fd(), &answer, 1) == 1);
    CHECK(answer == 'y');
    // The parent's pair still works, and its end is seen although the child lives.
    REQUIRE(post(*client->connection, 7, pattern(100, 1)).ok());
    CHECK(receive(*server->connection).ok());
    client->connection->close();
    const uint64_t start = now_ns();
    CHECK(server->connection->wait(in_seconds(5)).code() == StatusCode::unavailable);
    CHECK(now_ns() - start < kDeathNs);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}
