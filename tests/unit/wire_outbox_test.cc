// Messages that gather and travel together arrive as they were sent; a hostile batch gives a
// Status.
#include "src/wire/outbox.h"

#include <catch2/catch.hpp>
#include <random>
#include <utility>

namespace moai::wire {

namespace {

using Sent = std::vector<std::pair<Kind, Bytes>>;

// Keeps what is sent.
class Record final : public Connection {
 public:
  std::vector<Message> messages;
  int flushes = 0;

  Status send(uint8_t kind, std::span<const std::byte> body, Deadline) override {
    messages.push_back({kind, 0, Bytes(body.begin(), body.end())});
    return {};
  }
  Status flush(Deadline) override { return flushes++, ok_status(); }
  Status next_message(Message&) override { return {StatusCode::again, ""}; }
  Status wait(Deadline) override { return {}; }
  void wake() override {}
  StatusOr<Region> make_region(uint64_t) override { return unimplemented(""); }
  void free_region(Region) override {}
  StatusOr<Window> grant(const Region&) override { return unimplemented(""); }
  Status revoke(const Window&) override { return {}; }
  Status write(const Window&, uint64_t, std::span<const std::byte>, Deadline) override {
    return {};
  }
  Status read(const Window&, uint64_t, std::span<std::byte>, Deadline) override { return {}; }
  int event_fd() const override { return -1; }
  const PathInfo& path() const override { return path_; }
  TransportCounters counters() const override { return {}; }
  void close() override {}

 private:
  PathInfo path_;
};

Sent unpack(const std::vector<Message>& messages) {
  Sent all;
  for (const Message& m : messages)
    CHECK(for_each_message(static_cast<Kind>(m.kind), m.body, [&](Kind kind, Span body) {
            CHECK(reinterpret_cast<uintptr_t>(body.data()) % 8 == 0);
            all.emplace_back(kind, Bytes(body.begin(), body.end()));
          }).ok());
  return all;
}

}  // namespace

TEST_CASE("what gathers until a flush shares a frame") {
  Record wire;
  Outbox out;
  REQUIRE(out.send(wire, Kind::upload, Upload{1, 2, 3, 4, 5, {}}, {}).ok());
  REQUIRE(out.send(wire, Kind::execute, Execute{}, {}).ok());
  CHECK(wire.messages.empty());
  REQUIRE(out.flush(wire, {}).ok());
  REQUIRE(wire.messages.size() == 1);
  CHECK(unpack(wire.messages) == Sent{{Kind::upload, encode(Upload{1, 2, 3, 4, 5, {}})},
                                      {Kind::execute, encode(Execute{})}});
  // One alone goes as itself, and nothing as nothing.
  REQUIRE(out.send(wire, Kind::sync, Sync{9, true}, {}).ok());
  REQUIRE(out.flush(wire, {}).ok());
  REQUIRE(out.flush(wire, {}).ok());
  REQUIRE(wire.messages.size() == 2);
  CHECK(static_cast<Kind>(wire.messages[1].kind) == Kind::sync);
  CHECK(wire.messages[1].body == encode(Sync{9, true}));
  CHECK(wire.flushes == 3);
}

TEST_CASE("any mix of sizes arrives in order") {
  std::mt19937 random(3);
  Record wire;
  Outbox out;
  Sent sent;
  for (int i = 0; i < 3000; i++) {
    size_t most = random() % 20 == 0 ? 40000 : random() % 3 == 0 ? 3000 : 40;
    Bytes body(random() % most, static_cast<std::byte>(i));
    sent.emplace_back(static_cast<Kind>(1 + i % 12), body);
    REQUIRE(out.send(wire, sent.back().first, Span(body), {}).ok());
    if (random() % 7 == 0) REQUIRE(out.flush(wire, {}).ok());
  }
  REQUIRE(out.flush(wire, {}).ok());
  CHECK(unpack(wire.messages) == sent);
  CHECK(wire.messages.size() < sent.size() / 2);
  for (const Message& m : wire.messages)
    if (static_cast<Kind>(m.kind) == Kind::batch)
      CHECK(m.body.size() <= kFrameBytesMax - kFrameHeaderBytes);
}

TEST_CASE("a batch that is cut, or holds another one, is refused") {
  Record wire;
  Outbox out;
  REQUIRE(out.send(wire, Kind::sync, Sync{1, false}, {}).ok());
  REQUIRE(out.send(wire, Kind::sync, Sync{2, false}, {}).ok());
  REQUIRE(out.flush(wire, {}).ok());
  Bytes whole = wire.messages[0].body;
  auto parse = [](Span body) { return for_each_message(Kind::batch, body, [](Kind, Span) {}); };
  REQUIRE(parse(whole).ok());
  // Cut inside a head or a body.
  size_t body = encode(Sync{1, false}).size();
  for (size_t n = 1; n < kBatchHeadBytes + body; n++) CHECK_FALSE(parse(Span(whole).first(n)).ok());
  Bytes nested = whole;
  nested[4] = static_cast<std::byte>(Kind::batch);
  CHECK_FALSE(parse(nested).ok());
  Bytes long_one = whole;
  long_one[3] = std::byte{0xff};
  CHECK_FALSE(parse(long_one).ok());
}

}  // namespace moai::wire
