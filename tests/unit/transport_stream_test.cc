#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>

#include "transport/regions.h"
#include "transport/stream.h"

using namespace moai;
using namespace moai::transport;

namespace {

constexpr uint32_t kGeneration = 77;
using Bytes = std::vector<std::byte>;

std::vector<Bytes> frames_of(FrameWriter& w, uint8_t kind, std::span<const std::byte> body) {
  std::vector<Bytes> frames;
  REQUIRE(for_each_piece(body, [&](uint32_t flags, auto piece) {
            Bytes f(kFrameHeaderBytes + piece.size());
            w.put(f.data(), kind, flags, 5, piece);
            frames.push_back(std::move(f));
            return ok_status();
          }).ok());
  return frames;
}

// What a transport does with a frame that lies in private memory.
StatusOr<bool> feed(FrameReader& r, MessageAssembler& a, std::span<const std::byte> frame) {
  const FrameHeader h = get_header(frame.data());
  MOAI_RETURN_IF_ERROR(r.check(h));
  if (h.bytes != frame.size()) return invalid("[test] length");
  const auto body = frame.subspan(kFrameHeaderBytes);
  MOAI_RETURN_IF_ERROR(r.accept(h, body));
  MOAI_ASSIGN_OR_RETURN(auto to, a.body_for(h));
  if (!body.empty()) std::memcpy(to.data(), body.data(), body.size());
  return a.finish(h);
}

Bytes some_bytes(size_t n) {
  Bytes b(n);
  for (size_t i = 0; i < n; i++) b[i] = static_cast<std::byte>(i * 31 + i / 256);
  return b;
}

}  // namespace

TEST_CASE("a header keeps its fields at their places") {
  FrameHeader h;
  h.seq = 0x0807060504030201, h.bytes = 0x0C0B0A09, h.version = 0x0D, h.kind = 0x0E,
  h.deps = 0x100F;
  h.credit = 0x14131211, h.crc32c = 0x18171615, h.generation = 0x1C1B1A19, h.flags = 0x201F1E1D;
  std::byte raw[kFrameHeaderBytes];
  put_header(raw, h);
  for (size_t i = 0; i < kFrameHeaderBytes; i++) CHECK(static_cast<size_t>(raw[i]) == i + 1);
  const FrameHeader g = get_header(raw);
  CHECK(g.seq == h.seq);
  CHECK(g.deps == h.deps);
  CHECK(g.flags == h.flags);
}

TEST_CASE("messages are split into frames of at most 16 KiB and joined again") {
  FrameWriter w(kGeneration, true);
  FrameReader r(kGeneration, true);
  MessageAssembler a;
  uint64_t seq = 0;
  for (size_t n : {size_t{0}, size_t{1}, size_t{kFrameBodyMax}, size_t{kFrameBodyMax} + 1,
                   size_t{3} * kFrameBodyMax, size_t{100001}}) {
    const Bytes body = some_bytes(n);
    const auto frames = frames_of(w, 9, body);
    CHECK(frames.size() == std::max<size_t>(1, (n + kFrameBodyMax - 1) / kFrameBodyMax));
    for (size_t i = 0; i < frames.size(); i++) {
      CHECK(frames[i].size() <= kFrameBytesMax);
      auto whole = feed(r, a, frames[i]);
      REQUIRE(whole.ok());
      CHECK(*whole == (i + 1 == frames.size()));
      seq++;
    }
    Message m;
    a.take(m);
    CHECK(m.kind == 9);
    CHECK(m.seq == seq);
    CHECK(m.body == body);
  }
}

TEST_CASE("a message's buffer serves a later one") {
  FrameWriter w(kGeneration, false);
  FrameReader r(kGeneration, false);
  MessageAssembler a;
  Message m;
  std::set<const std::byte*> buffers;
  for (int i = 0; i < 10; i++) {
    REQUIRE(feed(r, a, frames_of(w, 1, some_bytes(1000))[0]).ok());
    a.take(m);
    CHECK(m.body == some_bytes(1000));
    buffers.insert(m.body.data());
  }
  CHECK(buffers.size() == 2);
}

TEST_CASE("lost, doubled and foreign frames are refused") {
  FrameWriter w(kGeneration, false);
  const auto one = frames_of(w, 1, some_bytes(10))[0], two = frames_of(w, 1, some_bytes(10))[0];
  MessageAssembler a;
  FrameReader lost(kGeneration, false), doubled(kGeneration, false),
      foreign(kGeneration + 1, false);
  CHECK_FALSE(feed(lost, a, two).ok());
  REQUIRE(feed(doubled, a, one).ok());
  Message taken;
  a.take(taken);
  CHECK_FALSE(feed(doubled, a, one).ok());
  CHECK_FALSE(feed(foreign, a, one).ok());
}

TEST_CASE("with checksums every flipped bit is noticed") {
  FrameWriter w(kGeneration, true);
  const auto frame = frames_of(w, 3, some_bytes(40))[0];
  for (size_t bit = 0; bit < frame.size() * 8; bit++) {
    Bytes bad = frame;
    bad[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    FrameReader r(kGeneration, true);
    MessageAssembler a;
    if (feed(r, a, bad).ok()) FAIL_CHECK("bit " << bit);
  }
  FrameReader r(kGeneration, true);
  MessageAssembler a;
  CHECK(feed(r, a, frame).ok());
}

TEST_CASE("mutated headers without checksums give only Status") {
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 20000; round++) {
    FrameWriter w(kGeneration, false);
    auto frames = frames_of(w, 3, some_bytes(random() % 40000));
    FrameReader r(kGeneration, false);
    MessageAssembler a;
    for (auto& f : frames) {
      if (random() % 2) f[random() % kFrameHeaderBytes] = static_cast<std::byte>(random());
      auto whole = feed(r, a, f);
      if (!whole.ok()) {
        CHECK(!whole.status().message().empty());
        refused++;
        break;
      }
      if (!*whole) continue;
      Message m;
      a.take(m);
      CHECK(m.body.size() <= 40000);
    }
    if (round > 500) round += 20;
  }
  CHECK(refused > 100);
}

TEST_CASE("a message that never ends is bounded") {
  FrameReader r(kGeneration, false);
  MessageAssembler a;
  FrameWriter w(kGeneration, false);
  const Bytes body = some_bytes(kFrameBodyMax);
  Bytes frame(kFrameBytesMax);
  uint64_t taken = 0;
  StatusOr<bool> s = false;
  while (s.ok() && taken < 2 * uint64_t{kMessageBytesMax}) {
    w.put(frame.data(), 1, kFlagMore, 0, body);
    s = feed(r, a, frame);
    if (s.ok()) taken += body.size();
  }
  CHECK(s.status().code() == StatusCode::resource_exhausted);
  CHECK(taken <= kMessageBytesMax);

  FrameReader r2(kGeneration, false);
  FrameWriter w2(kGeneration, false);
  MessageAssembler a2;
  Bytes empty(kFrameHeaderBytes);
  w2.put(empty.data(), 1, kFlagMore, 0, {});
  CHECK_FALSE(feed(r2, a2, empty).ok());
}

TEST_CASE("another kind may not come in mid-message") {
  FrameWriter w(kGeneration, false);
  FrameReader r(kGeneration, false);
  MessageAssembler a;
  Bytes f(kFrameHeaderBytes + 4);
  const Bytes body = some_bytes(4);
  w.put(f.data(), 1, kFlagMore, 0, body);
  REQUIRE(feed(r, a, f).ok());
  w.put(f.data(), 2, 0, 0, body);
  CHECK_FALSE(feed(r, a, f).ok());
}

TEST_CASE("accesses to regions are checked against every overflow") {
  RegionTable t(RegionTable::Kind::private_memory);
  auto r = t.make(1000);
  REQUIRE(r.ok());
  CHECK_FALSE(t.access(make_handle(1, r->slot), 0, 1).ok());  // not granted yet
  auto w = t.grant(*r);
  REQUIRE(w.ok());
  CHECK(t.access(w->handle, 999, 1).ok());
  CHECK(t.access(w->handle, 1000, 0).ok());
  for (auto [offset, bytes] : {std::pair<uint64_t, uint64_t>{1000, 1},
                               {0, 1001},
                               {UINT64_MAX, 1},
                               {1, UINT64_MAX},
                               {UINT64_MAX, UINT64_MAX},
                               {uint64_t{1} << 63, uint64_t{1} << 63}})
    CHECK(t.access(w->handle, offset, bytes).status().code() == StatusCode::invalid_argument);
  CHECK_FALSE(t.access(make_handle(1, 1), 0, 1).ok());
  CHECK_FALSE(t.access(make_handle(1, (uint64_t{1} << 40) - 1), 0, 1).ok());
  REQUIRE(t.revoke(*w).ok());
  CHECK(t.access(w->handle, 0, 1).status().code() == StatusCode::not_found);
  CHECK(t.free(*r));
  CHECK_FALSE(t.free(*r));
  auto next = t.make(10);  // takes the same slot; the old handle stays dead
  REQUIRE(next.ok());
  CHECK(next->slot == r->slot);
  auto w2 = t.grant(*next);
  REQUIRE(w2.ok());
  CHECK(w2->handle != w->handle);
  CHECK_FALSE(t.access(w->handle, 0, 1).ok());
}

TEST_CASE("a connection has a bounded number of regions") {
  RegionTable t(RegionTable::Kind::private_memory);
  std::vector<Region> all;
  for (uint32_t i = 0; i < kRegionsMax; i++) {
    auto r = t.make(1);
    REQUIRE(r.ok());
    all.push_back(*r);
  }
  CHECK(t.make(1).status().code() == StatusCode::resource_exhausted);
  REQUIRE(t.free(all[17]));
  auto r = t.make(1);
  REQUIRE(r.ok());
  CHECK(r->slot == 17);
}
