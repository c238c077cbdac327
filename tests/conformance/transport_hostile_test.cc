// Peers that break the rules: only Status may come of it, never a wild access or a hang.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <thread>

#include "src/base/bytes.h"
#include "src/base/mapping.h"
#include "tests/conformance/transport_pairs.h"
#include "transport/frame.h"
#include "transport/regions.h"
#include "transport/shm/notices.h"
#include "transport/shm/shm_connection.h"
#include "transport/stream.h"
#include "transport/tcp/control.h"
#include "transport/tcp/stream_connection.h"

using namespace moai;
using namespace moai::transport;
using namespace moai::transport::testing;

namespace {

constexpr uint32_t kGeneration = 5;
constexpr uint64_t kFileBytes = 4096 + kRingToServerBytes + kRingToClientBytes;

std::pair<Fd, Fd> socket_pair() {
  int fds[2] = {-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

// A server on shared memory whose client is the test: its mapping of the rings, its end of the
// socket.
struct ShmVictim {
  ShmVictim() {
    auto d = make_shm_descriptors();
    REQUIRE(d.ok());
    auto m = Mapping::shared(d->memory.fd(), kFileBytes);
    REQUIRE(m.ok());
    memory = std::move(*m);
    auto [a, b] = socket_pair();
    socket = std::move(b);
    auto c = make_shm_connection(std::move(a), std::move(*d), {true, false, kGeneration, {}});
    REQUIRE(c.ok());
    connection = std::move(*c);
  }
  Mapping memory;
  Fd socket;
  std::unique_ptr<Connection> connection;
};

struct StreamVictim {
  StreamVictim() {
    auto [a, b] = socket_pair();
    socket = std::move(b);
    auto c = make_stream_connection(std::move(a), {kGeneration, {}});
    REQUIRE(c.ok());
    connection = std::move(*c);
  }
  void say(std::span<const std::byte> bytes) {
    // The victim may have hung up already, or be full.
    [[maybe_unused]] auto n =
        ::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void say_control(const Control& c, size_t data_bytes) {
    std::vector<std::byte> body(kControlBytes + data_bytes, std::byte{0xEE}),
        frame(kFrameHeaderBytes + body.size());
    put_control(body.data(), c);
    writer.put(frame.data(), static_cast<uint8_t>(c.kind), kFlagControl, 0, body);
    say(frame);
  }
  FrameWriter writer{kGeneration, true};
  Fd socket;
  std::unique_ptr<Connection> connection;
};

// Everything a server does, with short deadlines; whatever comes is a Status.
void use(Connection& c, int rounds) {
  const auto body = pattern(3000, 1);
  for (int i = 0; i < rounds; i++) {
    c.wait(in_seconds(0.0005)).ok();
    for (int k = 0; k < 20 && c.next_message().ok(); k++) {
    }
    c.send(1, body, in_seconds(0.0005)).ok();
    c.flush(in_seconds(0.0005)).ok();
    c.write({make_handle(1, i % 3), 100}, 0, std::span(body).first(10), in_seconds(0.0005)).ok();
  }
}

}  // namespace

TEST_CASE("a peer that scribbles over the shared rings") {
  for (uint64_t seed = 1; seed <= 150; seed++) {
    INFO("seed " << seed);
    ShmVictim v;
    std::atomic<bool> is_over{false};
    std::thread scribbler([&] {
      std::mt19937_64 random(seed);
      while (!is_over) {
        // Mostly the words of the rings and the first frames: there it hurts.
        const uint64_t reach = random() % 4 ? 1280 : random() % 2 ? 4096 + 2048 : kFileBytes;
        const uint64_t at = random() % (reach / 8) * 8;
        const uint64_t values[] = {random(), random() % 4096 * 64, uint64_t{kRingToServerBytes}, 64,
                                   0};
        std::memcpy(v.memory.data() + at, &values[random() % 5], 8);
        if (random() % 64 == 0) std::this_thread::yield();
      }
    });
    use(*v.connection, 30);
    is_over = true;
    scribbler.join();
    use(*v.connection, 3);
    v.connection->close();
  }
}

TEST_CASE("plausible positions with random frames behind them") {
  std::mt19937_64 random(4);
  int refused = 0;
  for (int round = 0; round < 200; round++) {
    ShmVictim v;
    for (int i = 0; i < 512; i++) store_le<uint64_t>(v.memory.data() + 4096 + 8 * i, random());
    FrameHeader h;
    h.seq = 1, h.generation = kGeneration, h.bytes = static_cast<uint32_t>(random() % 20000);
    h.flags = static_cast<uint32_t>(random() % 16);
    put_header(v.memory.data() + 4096, h);
    store_le<uint64_t>(v.memory.data(), random() % 300 * 64);  // written
    auto m = v.connection->next_message();
    if (!m.ok() && m.status().code() != StatusCode::again) refused++;
  }
  CHECK(refused > 100);
}

TEST_CASE("notices that lie") {
  auto check = [](const Notice& n, int fd) {
    ShmVictim v;
    REQUIRE(send_notice(v.socket.fd(), n, fd, in_seconds(1)).ok());
    v.connection->wait(in_seconds(0.02)).ok();
    std::byte b{};
    CHECK_FALSE(v.connection->write({n.handle, 1}, 0, {&b, 1}, in_seconds(1)).ok());
    return v.connection->flush(in_seconds(1));
  };
  auto memory = make_shared_memory("moai-test", 4096);
  REQUIRE(memory.ok());
  int plain = ::memfd_create("moai-test-unsealed", 0);
  REQUIRE(plain >= 0);
  REQUIRE(::ftruncate(plain, 4096) == 0);
  CHECK_FALSE(check({NoticeKind::grant, make_handle(1, 0), 4096}, plain).ok());  // could shrink
  CHECK_FALSE(
      check({NoticeKind::grant, make_handle(1, 0), 4097}, memory->fd()).ok());  // smaller than said
  CHECK_FALSE(check({NoticeKind::grant, make_handle(1, 0), 4096}, -1).ok());    // without memory
  CHECK_FALSE(
      check({NoticeKind::grant, make_handle(0, 0), 4096}, memory->fd()).ok());  // no generation
  CHECK_FALSE(check({NoticeKind::grant, make_handle(1, 1ull << 39), 4096}, memory->fd()).ok());
  CHECK_FALSE(check({NoticeKind::grant, make_handle(1, 0), UINT64_MAX}, memory->fd()).ok());
  CHECK_FALSE(check({static_cast<NoticeKind>(9), 0, 0}, -1).ok());
  CHECK(check({NoticeKind::revoke, make_handle(1, 7), 0}, -1).ok());  // harmless
  ::close(plain);

  // Dropped memory is not touched, whatever handle the notice names.
  ShmVictim v;
  REQUIRE(send_notice(v.socket.fd(), {NoticeKind::grant, make_handle(1, 0), 4096}, memory->fd(),
                      in_seconds(1))
              .ok());
  v.connection->wait(in_seconds(0.01)).ok();
  std::byte b{};
  CHECK(v.connection->write({make_handle(1, 0), 4096}, 0, {&b, 1}, in_seconds(1)).ok());
  REQUIRE(
      send_notice(v.socket.fd(), {NoticeKind::drop, make_handle(9, 0), 0}, -1, in_seconds(1)).ok());
  v.connection->wait(in_seconds(0.01)).ok();
  CHECK_FALSE(v.connection->write({make_handle(1, 0), 4096}, 0, {&b, 1}, in_seconds(1)).ok());
}

TEST_CASE("descriptors that are no rings are refused") {
  auto d = make_shm_descriptors();
  REQUIRE(d.ok());
  CHECK(check_shm_descriptors(*d).ok());
  auto [a, b] = socket_pair();
  auto memory = make_shared_memory("moai-test", 4096);
  REQUIRE(memory.ok());
  ShmDescriptors small{std::move(*memory), std::move(d->server_bell), std::move(d->client_bell)};
  CHECK_FALSE(check_shm_descriptors(small).ok());
  ShmDescriptors wrong_bell{std::move(d->memory), std::move(a), std::move(small.client_bell)};
  CHECK_FALSE(check_shm_descriptors(wrong_bell).ok());
}

TEST_CASE("random bytes over a stream") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; round++) {
    StreamVictim v;
    std::vector<std::byte> noise(1 + random() % 3000);
    for (auto& b : noise) b = static_cast<std::byte>(random());
    std::vector<std::byte> good(kFrameHeaderBytes + 20);
    v.writer.put(good.data(), 1, 0, 0, std::span(noise).first(std::min<size_t>(20, noise.size())));
    good.resize(kFrameHeaderBytes + std::min<size_t>(20, noise.size()));
    v.say(good);
    v.say(noise);
    CHECK(v.connection->wait(in_seconds(1)).ok());
    CHECK(v.connection->next_message().ok());  // what came before the breach is whole
    use(*v.connection, 2);
    if (noise.size() >= kFrameHeaderBytes) CHECK_FALSE(v.connection->flush(in_seconds(1)).ok());
  }
}

TEST_CASE("window accesses that the peer was not granted") {
  struct Case {
    Control control;
    size_t data;
    bool is_breach;
  };
  const uint64_t granted = make_handle(1, 0), stale = make_handle(2, 0), far = make_handle(1, 99);
  const Case cases[] = {
      {{ControlKind::write, 0, granted, 0, 0}, 100, false},
      {{ControlKind::write, 0, granted, 1, 0}, 100, true},
      {{ControlKind::write, 0, granted, UINT64_MAX, 0}, 1, true},
      {{ControlKind::write, 0, stale, 0, 0}, 100, false},  // may have crossed a revocation: dropped
      {{ControlKind::write, 0, far, 0, 0}, 100, false},
      {{ControlKind::read, 1, granted, 0, 100}, 0, false},
      {{ControlKind::read, 1, granted, 50, 51}, 0, false},  // answered by a refusal
      {{ControlKind::read, 1, granted, 0, UINT64_MAX}, 0, false},
      {{ControlKind::read_data, 77, 0, 0, 0}, 100, false},  // nobody asked
      {{ControlKind::read_refused, 77, 0, 0, 0}, 0, false},
      {{ControlKind::grant, 0, make_handle(1, 1ull << 39), 10, 0}, 0, true},
      {{ControlKind::grant, 0, make_handle(0, 1), 10, 0}, 0, true},
      {{ControlKind::grant, 0, make_handle(1, 1), UINT64_MAX, 0}, 0, true},
      {{static_cast<ControlKind>(99), 0, 0, 0, 0}, 0, true},
  };
  for (const Case& c : cases) {
    INFO("kind " << static_cast<int>(c.control.kind) << " a " << c.control.a << " b "
                 << c.control.b);
    StreamVictim v;
    auto region = v.connection->make_region(100);
    REQUIRE(region.ok());
    REQUIRE(v.connection->grant(*region).ok());
    v.say_control(c.control, c.data);
    v.connection->wait(in_seconds(0.01)).ok();
    CHECK(v.connection->flush(in_seconds(1)).ok() == !c.is_breach);
    const bool is_written = region->data[0] == std::byte{0xEE};
    CHECK(is_written ==
          (c.control.kind == ControlKind::write && c.control.a == granted && !c.is_breach));
  }
}

TEST_CASE("a peer that asks for reads and never takes the answers") {
  StreamVictim v;
  auto region = v.connection->make_region(8 << 20);
  REQUIRE(region.ok());
  auto w = v.connection->grant(*region);
  REQUIRE(w.ok());
  for (uint64_t i = 0; i < 100; i++)
    v.say_control({ControlKind::read, i + 1, w->handle, 0, 8 << 20}, 0);
  const uint64_t start = now_ns();
  for (int i = 0; i < 20; i++) v.connection->wait(in_seconds(0.005)).ok();
  CHECK(now_ns() - start < 2'000'000'000);
  CHECK_FALSE(v.connection->flush(in_seconds(0.01)).ok());  // too many at once
}
