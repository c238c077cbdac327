// The simulated pair, single-threaded: seeded schedules against a queue as the oracle.
#include <catch2/catch.hpp>
#include <deque>
#include <random>

#include "transport/sim/sim.h"

using namespace moai;
using namespace moai::transport;

namespace {

std::vector<std::byte> body_of(uint64_t seed, size_t bytes) {
  std::vector<std::byte> b(bytes);
  for (size_t i = 0; i < bytes; i++) b[i] = static_cast<std::byte>(seed * 131 + i * 7 + i / 251);
  return b;
}

Deadline after(const SimPair& p, uint64_t ns) { return {p.clock->now_ns() + ns}; }

// What a schedule did, to compare two runs of one seed.
struct Outcome {
  uint64_t now_ns = 0, sent = 0, received = 0, refused = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome run_schedule(uint64_t seed) {
  std::mt19937_64 random(seed);
  SimOptions o;
  o.queue_bytes = 40000;
  const bool is_cut = random() % 4 == 0, is_flipped = random() % 4 == 0;
  if (is_cut) o.cut_at_frame = random() % 60;
  if (is_flipped) o.flip_at_frame = random() % 60;
  SimPair p = make_sim_pair(seed, o);
  Connection* ends[2] = {p.client.get(), p.server.get()};
  std::deque<std::vector<std::byte>> under_way[2];
  bool has_failed[2] = {};
  Outcome out;
  auto take = [&](int side) {
    for (;;) {
      auto m = ends[side]->next_message();
      if (!m.ok()) {
        if (m.status().code() != StatusCode::again) has_failed[side] = true;
        return;
      }
      REQUIRE_FALSE(under_way[side].empty());
      REQUIRE(m->body == under_way[side].front());
      under_way[side].pop_front();
      out.received++;
    }
  };
  for (int step = 0; step < 80; step++) {
    const int side = static_cast<int>(random() % 2);
    Connection& c = *ends[side];
    switch (random() % 3) {
      case 0: {
        auto body = body_of(out.sent, random() % (random() % 8 ? 300 : 60000));
        Status s = c.send(1, body, after(p, random() % 1000000));
        if (s.ok())
          under_way[1 - side].push_back(std::move(body)), out.sent++;
        else
          out.refused++;
        // A message longer than the queue may be half sent: then both ends may only fail.
        if (!s.ok() && !c.flush(after(p, 0)).ok()) has_failed[0] = has_failed[1] = true;
        break;
      }
      case 1: c.flush(after(p, 1000)).ok(); break;
      case 2:
        c.wait(after(p, random() % 300000)).ok();
        take(side);
        break;
    }
    if (has_failed[0] || has_failed[1]) break;
  }
  const bool may_fail = is_cut || is_flipped || out.refused > 0;
  if (!may_fail) CHECK_FALSE((has_failed[0] || has_failed[1]));
  for (int side = 0; side < 2 && !may_fail; side++) {
    ends[1 - side]->flush(after(p, 1000)).ok();
    for (int i = 0; i < 10000 && !under_way[side].empty(); i++) {
      REQUIRE(ends[side]->wait(after(p, 1000000000)).ok());
      take(side);
    }
    CHECK(under_way[side].empty());
  }
  out.now_ns = p.clock->now_ns();
  return out;
}

}  // namespace

TEST_CASE("seeded schedules of delay, cut and damage deliver in order, exactly once, or fail") {
  uint64_t received = 0;
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    INFO("seed " << seed);
    received += run_schedule(seed).received;
  }
  CHECK(received > 10000);
}

TEST_CASE("a seed gives the same run again") {
  for (uint64_t seed : {3u, 14u, 159u}) CHECK(run_schedule(seed) == run_schedule(seed));
  CHECK_FALSE(run_schedule(1) == run_schedule(2));
}

TEST_CASE("time passes only while somebody waits") {
  SimPair p = make_sim_pair(1);
  const uint64_t start = p.clock->now_ns();
  CHECK(p.client->wait({start + 5000}).code() == StatusCode::deadline_exceeded);
  CHECK(p.clock->now_ns() == start + 5000);
  REQUIRE(p.server->send(1, body_of(1, 10), after(p, 1)).ok());
  CHECK(p.client->next_message().status().code() == StatusCode::again);  // not flushed
  REQUIRE(p.server->flush(after(p, 1)).ok());
  REQUIRE(p.client->wait({start + 100000000}).ok());
  CHECK(p.clock->now_ns() <= start + 5000 + 100000);
  CHECK(p.client->next_message().ok());
}

TEST_CASE("a cut ends both sides after what had left before") {
  SimOptions o;
  o.cut_at_frame = 2;
  SimPair p = make_sim_pair(9, o);
  for (int i = 0; i < 4; i++) REQUIRE(p.client->send(1, body_of(1, 10), after(p, 1)).ok());
  REQUIRE(p.client->flush(after(p, 1)).ok());
  int got = 0;
  Status s;
  for (int i = 0; i < 10 && s.code() != StatusCode::unavailable; i++) {
    p.server->wait(after(p, 1000000)).ok();
    auto m = p.server->next_message();
    if (m.ok())
      got++;
    else
      s = m.status();
  }
  CHECK(got == 2);
  CHECK(s.code() == StatusCode::unavailable);
  CHECK(p.client->send(1, {}, after(p, 1)).code() == StatusCode::unavailable);
}

TEST_CASE("a damaged frame is noticed") {
  for (uint64_t seed = 0; seed < 50; seed++) {
    SimOptions o;
    o.flip_at_frame = 0;
    SimPair p = make_sim_pair(seed, o);
    REQUIRE(p.client->send(1, body_of(1, 100), after(p, 1)).ok());
    REQUIRE(p.client->flush(after(p, 1)).ok());
    REQUIRE(p.server->wait(after(p, 1000000)).ok());
    CHECK_FALSE(p.server->next_message().ok());
    CHECK_FALSE(p.server->next_message().ok());
  }
}
