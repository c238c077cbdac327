#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "transport/frame.h"
#include "transport/shm/ring.h"

using namespace moai;
using namespace moai::transport;

namespace {

struct TestRing {
  explicit TestRing(uint32_t bytes)
      : data(bytes), producer(&words, data.data(), bytes), consumer(&words, data.data(), bytes) {}
  RingWords words{};
  std::vector<std::byte> data;
  RingProducer producer;
  RingConsumer consumer;
};

// Writes one frame of `bytes` that carries its number; false when there is no room.
bool produce(RingProducer& p, uint32_t bytes, uint64_t number) {
  auto space = p.space(p.cost(bytes));
  if (!space.ok() || *space < p.cost(bytes)) return false;
  FrameHeader h;
  if ((h.bytes = p.pad_before(bytes)) != 0) {
    h.flags = kFlagPad;
    put_header(p.at(), h);
    p.advance(h.bytes);
  }
  h.bytes = bytes, h.flags = 0, h.seq = number;
  put_header(p.at(), h);
  std::memset(p.at() + kFrameHeaderBytes, static_cast<int>(number & 0xff),
              bytes - kFrameHeaderBytes);
  p.advance(bytes);
  return true;
}

// The next frame's number, 0 when there is none.
uint64_t consume(RingConsumer& c) {
  for (;;) {
    auto n = c.available();
    if (!n.ok() || *n == 0) return 0;
    const FrameHeader h = get_header(c.at());
    REQUIRE(ring_bytes(h.bytes) <= *n);
    REQUIRE(ring_bytes(h.bytes) <= c.to_end());
    const bool is_pad = (h.flags & kFlagPad) != 0;
    if (is_pad) REQUIRE(h.bytes == c.to_end());
    for (uint32_t i = kFrameHeaderBytes; !is_pad && i < h.bytes; i++)
      if (c.at()[i] != static_cast<std::byte>(h.seq & 0xff)) FAIL("body of frame " << h.seq);
    c.advance(h.bytes);
    if (!is_pad) return h.seq;
  }
}

}  // namespace

TEST_CASE("frames of every length pass every offset of a small ring") {
  for (uint32_t first = 0; first < 16; first++)
    for (uint32_t bytes = kFrameHeaderBytes; bytes <= 512; bytes += 13) {
      TestRing r(1024);
      uint64_t sent = 0, got = 0;
      for (uint32_t i = 0; i < first; i++) REQUIRE(produce(r.producer, 64, ++sent));
      r.producer.publish();
      while (consume(r.consumer) != 0) got++;
      r.consumer.release(true);
      for (int lap = 0; lap < 8; lap++) {
        while (produce(r.producer, bytes, sent + 1)) sent++;
        r.producer.publish();
        while (uint64_t n = consume(r.consumer)) CHECK(n == ++got);
        r.consumer.release(true);
      }
      CHECK(got == sent);
      CHECK(sent >= first + 8);
    }
}

TEST_CASE("nothing is seen before it is published, no space before it is released") {
  TestRing r(1024);
  REQUIRE(produce(r.producer, 64, 1));
  CHECK(consume(r.consumer) == 0);
  r.producer.publish();
  CHECK(consume(r.consumer) == 1);
  while (produce(r.producer, 64, 2)) {
  }
  r.producer.publish();
  CHECK_FALSE(produce(r.producer, 64, 3));
  CHECK_FALSE(r.consumer.release(false));  // less than a quarter
  CHECK_FALSE(produce(r.producer, 64, 3));
  r.consumer.release(true);
  CHECK(produce(r.producer, 64, 3));
}

TEST_CASE("a sleeper is woken once") {
  TestRing r(1024);
  r.consumer.set_sleeping(true);
  REQUIRE(produce(r.producer, 64, 1));
  CHECK(r.producer.publish());
  REQUIRE(produce(r.producer, 64, 2));
  CHECK_FALSE(r.producer.publish());
  CHECK_FALSE(r.producer.publish());
  r.producer.set_sleeping(true);
  CHECK(consume(r.consumer) == 1);
  CHECK(r.consumer.release(true));
}

TEST_CASE("impossible positions of the peer are refused") {
  for (uint64_t bad : {uint64_t{1}, uint64_t{63}, uint64_t{1024 + 64}, UINT64_MAX, UINT64_MAX - 63,
                       uint64_t{1} << 63}) {
    TestRing r(1024);
    r.words.written.store(bad);
    CHECK_FALSE(r.consumer.available().ok());
    TestRing q(1024);
    REQUIRE(produce(q.producer, 64, 1));
    q.producer.publish();
    q.words.read.store(bad);
    CHECK_FALSE(q.producer.space(1024).ok());
  }
  TestRing back(1024);
  REQUIRE(produce(back.producer, 128, 1));
  back.producer.publish();
  CHECK(consume(back.consumer) == 1);
  back.words.written.store(64);  // a step back
  CHECK_FALSE(back.consumer.available().ok());
}

TEST_CASE("two threads agree on a small ring") {
  TestRing r(4096);
  constexpr uint64_t kFrames = 20000;
  std::thread producer([&] {
    for (uint64_t n = 1; n <= kFrames;) {
      if (produce(r.producer, 32 + static_cast<uint32_t>(n * 37 % 600), n))
        n++;
      else
        std::this_thread::yield();
      r.producer.publish();
    }
  });
  for (uint64_t expected = 1; expected <= kFrames;) {
    const uint64_t n = consume(r.consumer);
    r.consumer.release(n == 0);
    if (n == 0)
      std::this_thread::yield();
    else if (n != expected++)
      FAIL_CHECK("frame " << n);
  }
  producer.join();
}
