// What every transport promises, run on each of them.
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include <poll.h>

#include "tests/conformance/transport_pairs.h"

using namespace moai;
using namespace moai::transport::testing;

namespace {

// Runs the body on a fresh pair of each transport.
template <class Body>
void on_each(Body body) {
  for (const PairMaker& maker : all_makers()) {
    INFO(maker.name);
    Pair p = maker.make();
    REQUIRE((p.client && p.server));
    body(*p.client, *p.server);
  }
}

bool is_unavailable(const Status& s) { return s.code() == StatusCode::unavailable; }

// Seconds that a call took.
template <class Call>
double seconds_of(Call call) {
  const uint64_t start = test_now_ns();
  call();
  return static_cast<double>(test_now_ns() - start) * 1e-9;
}

}  // namespace

TEST_CASE("messages of every size arrive whole and in order, both ways") {
  on_each([](Connection& client, Connection& server) {
    const size_t sizes[] = {0,     1,     2,      31,     32,       33,     63,
                            64,    65,    255,    4096,   16351,    16352,  16353,
                            32704, 32705, 100000, 262144, 1u << 20, 5000000};
    for (auto [from, to] : {std::pair(&client, &server), std::pair(&server, &client)}) {
      std::thread sender([from = from, &sizes] {
        for (size_t i = 0; i < std::size(sizes); i++)
          if (!post(*from, static_cast<uint8_t>(i), pattern(sizes[i], i)).ok()) return;
      });
      uint64_t last_seq = 0;
      for (size_t i = 0; i < std::size(sizes); i++) {
        auto m = receive(*to);
        if (!m.ok()) FAIL_CHECK(m.status().to_string());
        if (!m.ok()) break;
        CHECK(m->kind == i);
        CHECK(m->body == pattern(sizes[i], i));
        CHECK(m->seq > last_seq);
        last_seq = m->seq;
      }
      sender.join();
    }
    CHECK(client.counters().frames_sent == server.counters().frames_received);
    CHECK(client.counters().bytes_received == server.counters().bytes_sent);
  });
}

TEST_CASE("the ring wraps at every offset") {
  on_each([](Connection& client, Connection& server) {
    // Lengths whose places in a ring differ by one unit from lap to lap.
    for (uint32_t i = 0; i < 6000; i++) {
      const auto body = pattern(1 + (i * 64 + i % 64) % 16352, i);
      REQUIRE(post(client, 1, body).ok());
      auto m = receive(server);
      REQUIRE(m.ok());
      REQUIRE(m->body == body);
    }
  });
}

TEST_CASE("a slow consumer holds the sender back and loses nothing") {
  on_each([](Connection& client, Connection& server) {
    constexpr int kMessages = 1000;
    std::thread sender([&] {
      for (int i = 0; i < kMessages; i++)
        if (!post(client, 2, pattern(10000, i)).ok()) return;
    });
    for (int i = 0; i < kMessages; i++) {
      if (i % 500 == 0) ::poll(nullptr, 0, 20);
      auto m = receive(server);
      if (!m.ok()) FAIL_CHECK(m.status().to_string());
      if (!m.ok()) break;
      if (m->body != pattern(10000, i)) FAIL_CHECK("message " << i << " differs");
    }
    sender.join();
  });
}

TEST_CASE("a full path ends at the deadline and goes on afterwards") {
  on_each([](Connection& client, Connection& server) {
    const auto body = pattern(15000, 7);
    int sent = 0;
    Status s;
    double seconds = 0;
    while (s.ok() && sent < 4000) {
      seconds = seconds_of([&] { s = client.send(3, body, in(0.05)); });
      if (s.ok()) sent++;
    }
    REQUIRE(s.code() == StatusCode::deadline_exceeded);
    CHECK(client.counters().credit_waits > 0);
    CHECK(seconds >= 0.05);
    CHECK(seconds < 0.5);
    for (int i = 0; i < sent; i++) {
      auto m = receive(server);
      REQUIRE(m.ok());
      REQUIRE(m->body == body);
      if (i == 0) REQUIRE(client.wait(in(0)).code() == StatusCode::deadline_exceeded);
      if (i % 4 == 0) client.flush(in(0)).ok();  // may still be full
    }
    REQUIRE(post(client, 4, pattern(5, 5)).ok());
    auto last = receive(server);
    REQUIRE(last.ok());
    CHECK(last->kind == 4);
  });
}

TEST_CASE("wait ends at its deadline, and early by wake from another thread") {
  on_each([](Connection& client, Connection&) {
    Status s;
    const double late = seconds_of([&] { s = client.wait(in(0.03)); });
    CHECK(s.code() == StatusCode::deadline_exceeded);
    CHECK(late >= 0.03);
    CHECK(late < 0.5);
    client.wake();
    CHECK(client.wait(in(5)).ok());  // a wake before the wait counts
    std::thread waker([&] {
      ::poll(nullptr, 0, 20);
      client.wake();
    });
    const double early = seconds_of([&] { s = client.wait(in(5)); });
    waker.join();
    CHECK(s.ok());
    CHECK(early < 1);
    CHECK(client.next_message().status().code() == StatusCode::again);
  });
}

TEST_CASE("windows: what is written is in place before a later message") {
  on_each([](Connection& client, Connection& server) {
    auto region = server.make_region(3 << 20);
    REQUIRE(region.ok());
    auto window = server.grant(*region);
    REQUIRE(window.ok());
    CHECK(window->handle != 0);
    auto same = server.grant(*region);
    REQUIRE(same.ok());
    CHECK(same->handle == window->handle);
    REQUIRE(post_window(server, *window).ok());
    auto w = receive_window(client);
    REQUIRE(w.ok());
    const auto data = pattern((3 << 20) - 5, 3);
    std::thread writer([&] {
      if (client.write(*w, 5, data, in(10)).ok()) post(client, 9, {}).ok();
    });
    auto m = receive(server);
    writer.join();
    REQUIRE(m.ok());
    CHECK(m->kind == 9);
    CHECK(std::memcmp(region->data + 5, data.data(), data.size()) == 0);
    CHECK(region->data[4] == std::byte{0});

    // Reading is served while the owner polls.
    std::vector<std::byte> back(data.size());
    Status s;
    std::thread reader([&] {
      s = client.read(*w, 5, back, in(10));
      post(client, 10, {}).ok();
    });
    m = receive(server);
    reader.join();
    CHECK(s.ok());
    CHECK(back == data);
    CHECK(client.counters().window_bytes_out == data.size());
    CHECK(client.counters().window_bytes_in == data.size());
  });
}

TEST_CASE("windows: edges, outside, foreign, revoked, stale") {
  on_each([](Connection& client, Connection& server) {
    auto region = server.make_region(5000);
    REQUIRE(region.ok());
    auto granted = server.grant(*region);
    REQUIRE(granted.ok());
    REQUIRE(post_window(server, *granted).ok());
    auto w = receive_window(client);
    REQUIRE(w.ok());
    const auto one = pattern(1, 1);
    const auto all = pattern(5000, 2), more = pattern(5001, 2);
    const Deadline d = in(5);
    CHECK(client.write(*w, 4999, one, d).ok());
    CHECK(client.write(*w, 0, all, d).ok());
    CHECK(client.write(*w, 5000, {}, d).ok());
    CHECK(client.write(*w, 5000, one, d).code() == StatusCode::invalid_argument);
    CHECK(client.write(*w, 0, more, d).code() == StatusCode::invalid_argument);
    CHECK(client.write(*w, UINT64_MAX, one, d).code() == StatusCode::invalid_argument);
    CHECK(client.write(*w, (uint64_t{4} << 30) + 1, one, d).code() == StatusCode::invalid_argument);
    // A claim of more than was granted is worth nothing.
    CHECK(client.write({w->handle, 1 << 20}, 5000, one, d).code() == StatusCode::invalid_argument);
    CHECK(client.write({w->handle + 1, 5000}, 0, one, d).code() == StatusCode::not_found);
    CHECK(client.write({w->handle + (uint64_t{1} << 40), 5000}, 0, one, d).code() ==
          StatusCode::not_found);
    CHECK(client.write({0, 5000}, 0, one, d).code() == StatusCode::not_found);
    CHECK(server.write(*w, 0, one, d).code() == StatusCode::not_found);  // its own, not the peer's

    REQUIRE(post(client, 1, {}).ok());
    REQUIRE(receive(server).ok());
    CHECK(std::memcmp(region->data, all.data(), 5000) == 0);
    REQUIRE(server.revoke(*granted).ok());
    CHECK(server.revoke(*granted).code() == StatusCode::not_found);
    REQUIRE(post(server, 2, {}).ok());
    REQUIRE(receive(client).ok());
    CHECK(client.write(*w, 0, one, d).code() == StatusCode::not_found);
    std::byte b;
    CHECK(client.read(*w, 0, {&b, 1}, d).code() == StatusCode::not_found);
    CHECK(std::memcmp(region->data, all.data(), 5000) == 0);

    auto again = server.grant(*region);
    REQUIRE(again.ok());
    CHECK(again->handle != granted->handle);
    REQUIRE(post_window(server, *again).ok());
    auto w2 = receive_window(client);
    REQUIRE(w2.ok());
    CHECK(client.write(*w2, 0, one, d).ok());
    CHECK(client.write(*w, 0, one, d).code() == StatusCode::not_found);
    server.free_region(*region);
    CHECK_FALSE(server.grant(*region).ok());
    REQUIRE(post(server, 3, {}).ok());
    REQUIRE(receive(client).ok());
    CHECK(client.write(*w2, 0, one, d).code() == StatusCode::not_found);
    CHECK_FALSE(server.make_region(0).ok());
    CHECK_FALSE(server.make_region(kWindowBytesMax + 1).ok());
  });
}

TEST_CASE("the death of the peer is noticed at once, after what it said before") {
  for (const PairMaker& maker : all_makers()) {
    INFO(maker.name);
    Pair p = maker.make();
    REQUIRE((p.client && p.server));
    REQUIRE(post(*p.server, 5, pattern(100, 1)).ok());
    std::thread killer([&] {
      ::poll(nullptr, 0, 20);
      p.server.reset();
    });
    auto m = receive(*p.client);
    CHECK(m.ok());
    Status s;
    const double seconds = seconds_of([&] { s = p.client->wait(in(5)); });
    killer.join();
    CHECK(is_unavailable(s));
    CHECK(seconds < 0.12);
    CHECK(is_unavailable(p.client->next_message().status()));
    CHECK(is_unavailable(post(*p.client, 1, pattern(10, 1))));
  }
}

TEST_CASE("a peer that only asks for messages hears of the death too") {
  for (const PairMaker& maker : all_makers()) {
    INFO(maker.name);
    Pair p = maker.make();
    REQUIRE((p.client && p.server));
    p.server.reset();
    Status s;
    for (int i = 0; i < 1000 && !is_unavailable(s); i++) s = p.client->next_message().status();
    CHECK(is_unavailable(s));
  }
}

TEST_CASE("close is quick, ends both sides, and later calls say so") {
  on_each([](Connection& client, Connection& server) {
    auto region = client.make_region(100);
    REQUIRE(region.ok());
    auto window = client.grant(*region);
    REQUIRE(window.ok());
    REQUIRE(client.send(1, pattern(50, 1), in(1)).ok());  // not flushed
    CHECK(seconds_of([&] { client.close(); }) < 2);
    client.close();
    auto m = receive(server);
    REQUIRE(m.ok());
    CHECK(m->body == pattern(50, 1));
    CHECK(is_unavailable(receive(server).status()));
    region->data[0] = std::byte{1};  // stays its owner's until it is freed
    CHECK(is_unavailable(client.send(1, {}, in(1))));
    CHECK(is_unavailable(client.flush(in(1))));
    CHECK(is_unavailable(client.wait(in(1))));
    CHECK(is_unavailable(client.next_message().status()));
    CHECK(is_unavailable(client.make_region(10).status()));
    CHECK(is_unavailable(client.grant(*region).status()));
    CHECK(is_unavailable(client.revoke(*window)));
    CHECK(is_unavailable(client.write(*window, 0, {}, in(1))));
    client.free_region(*region);
    client.wake();
  });
}

TEST_CASE("an event loop sees messages, wakes and the end") {
  on_each([](Connection& client, Connection& server) {
    auto is_readable = [&](int ms) {
      pollfd p{client.event_fd(), POLLIN, 0};
      return ::poll(&p, 1, ms) == 1;
    };
    if (client.event_fd() < 0) return;
    auto take_all = [&] {
      int n = 0;
      for (int i = 0; i < 100; i++) {
        auto m = client.next_message();
        if (m.ok())
          n++;
        else
          return n;
      }
      return n;
    };
    take_all();
    CHECK_FALSE(is_readable(0));
    for (int i = 0; i < 50; i++) {
      REQUIRE(post(server, 1, pattern(10, 1)).ok());
      REQUIRE(post(server, 1, pattern(10, 1)).ok());
      REQUIRE(is_readable(1000));
      int n = take_all();
      while (n < 2 && is_readable(1000)) n += take_all();
      CHECK(n == 2);
      CHECK_FALSE(is_readable(0));
    }
    client.wake();
    CHECK(is_readable(1000));
    take_all();
    server.close();
    CHECK(is_readable(1000));
    Status s = client.next_message().status();
    for (int i = 0; i < 3 && !is_unavailable(s); i++) s = client.next_message().status();
    CHECK(is_unavailable(s));
  });
}
