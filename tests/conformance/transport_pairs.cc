#include "tests/conformance/transport_pairs.h"

#include <atomic>
#include <cstring>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include "transport/open/open.h"
#include "transport/sim/sim.h"

namespace moai::transport::testing {
namespace {

std::shared_ptr<const Clock> current_clock;

Pair open_pair(const Address& at, const HandshakeOptions& o) {
  auto listener = listen_on(at);
  if (!listener.ok()) return {};
  Address to = at;
  if (at.kind == Address::Kind::tcp) {
    auto bound = local_address(*listener);
    if (!bound.ok()) return {};
    to = *bound;
  }
  current_clock = nullptr;
  Pair pair;
  std::thread server([&] {
    auto s = accept_from(*listener, in_seconds(10));
    if (!s.ok() || !take_route(*s, in_seconds(10)).ok()) return;
    auto opened = open_server(std::move(*s), o, in_seconds(10));
    if (opened.ok()) pair.server = std::move(opened->connection);
  });
  auto s = connect_to(to, in_seconds(10));
  if (s.ok() && send_route(*s, "session NEW", in_seconds(10)).ok()) {
    auto opened = open_client(std::move(*s), o, in_seconds(10));
    if (opened.ok()) pair.client = std::move(opened->connection);
  }
  server.join();
  return pair;
}

Pair sim_pair() {
  SimOptions o;
  o.start_ns = now_ns();
  o.idle = [] { ::poll(nullptr, 0, 1); };
  SimPair p = make_sim_pair(42, o);
  current_clock = p.clock;
  return {std::move(p.client), std::move(p.server), std::move(p.clock)};
}

Address unique_name() {
  static std::atomic<int> next{0};
  return {Address::Kind::unix_abstract,
          "moai-test-" + std::to_string(getpid()) + "-" + std::to_string(next++), 0};
}

}  // namespace

const std::vector<PairMaker>& all_makers() {
  static const std::vector<PairMaker> makers = {
      {"sim", [] { return sim_pair(); }},
      {"shm", [] { return open_pair(unique_name(), {.hello = "x", .check_sums = true}); }},
      {"tcp",
       [] {
         return open_pair({Address::Kind::tcp, "127.0.0.1", 0}, {.hello = "x"});
       }},
      {"unix stream", [] { return open_pair(unique_name(), {.offer_shm = false, .hello = "x"}); }},
  };
  return makers;
}

uint64_t test_now_ns() { return current_clock ? current_clock->now_ns() : now_ns(); }
Deadline in(double seconds) { return {test_now_ns() + static_cast<uint64_t>(seconds * 1e9)}; }

std::vector<std::byte> pattern(size_t bytes, uint64_t seed) {
  std::vector<std::byte> v(bytes);
  uint64_t x = seed * 0x9E3779B97F4A7C15ull + 1;
  for (auto& b : v) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    b = static_cast<std::byte>(x);
  }
  return v;
}

StatusOr<Message> receive(Connection& c, double seconds) {
  for (const Deadline d = in(seconds);;) {
    auto m = c.next_message();
    if (m.ok() || m.status().code() != StatusCode::again) return m;
    MOAI_RETURN_IF_ERROR(c.wait(d));
  }
}

Status post(Connection& c, uint8_t kind, std::span<const std::byte> body, double seconds) {
  MOAI_RETURN_IF_ERROR(c.send(kind, body, in(seconds)));
  return c.flush(in(seconds));
}

Status post_window(Connection& c, const Window& w) {
  std::byte raw[16];
  std::memcpy(raw, &w.handle, 8);
  std::memcpy(raw + 8, &w.bytes, 8);
  return post(c, 34, raw);
}

StatusOr<Window> receive_window(Connection& c) {
  MOAI_ASSIGN_OR_RETURN(Message m, receive(c));
  if (m.body.size() != 16) return invalid("[test] no window");
  Window w;
  std::memcpy(&w.handle, m.body.data(), 8);
  std::memcpy(&w.bytes, m.body.data() + 8, 8);
  return w;
}

}  // namespace moai::transport::testing
