// decode(encode(m)) == m; mutated bytes give a Status and never a wild read; golden bytes of
// version 1.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "src/wire/messages.h"

using namespace moai;
using namespace moai::wire;

namespace {

template <class M>
M round_trip(const M& m) {
  auto back = decode<M>(encode(m));
  INFO(back.status().message());
  REQUIRE(back.ok());
  return *back;
}

Ops sample_ops() {
  Ops m;
  m.first_op = 3;
  m.part.names = {"add.Tensor", "", "mm"};
  m.part.texts = {"mean"};
  m.part.slots = {{24, false}, {1 << 20, true}};
  View v;
  v.dtype = DType::bf16;
  v.is_neg = true;
  v.offset = 5;
  v.sizes = {2, 3};
  v.strides = {1, 2};
  m.part.views = {v, View{}};
  m.part.words = {make_tensor(0, 0), make_word(Tag::outputs, 1), make_tensor(1, 0)};
  m.part.op_name = {0};
  m.part.op_end = {3};
  m.part.scalar_count = 7;
  return m;
}

Execute sample_execute() {
  Execute m;
  m.segment = {0x1122334455667788, 0x99aabbccddeeff00};
  m.first_fresh_id = 77;
  m.is_whole = false;
  m.bindings = {{0, 12}, {4, 13}};
  m.live_out = {1, 4, 9};
  m.scalars = {1, ~uint64_t{0}};
  m.deaths = {5, 6};
  return m;
}

}  // namespace

TEST_CASE("messages survive the wire") {
  Ops ops = sample_ops(), o = round_trip(ops);
  CHECK(o.first_op == 3);
  CHECK(o.part.names == ops.part.names);
  CHECK(o.part.texts == ops.part.texts);
  CHECK(o.part.slots == ops.part.slots);
  CHECK(o.part.views == ops.part.views);
  CHECK(o.part.words == ops.part.words);
  CHECK(o.part.op_name == ops.part.op_name);
  CHECK(o.part.op_end == ops.part.op_end);
  CHECK(o.part.scalar_count == 7);

  Execute e = round_trip(sample_execute());
  CHECK(e.segment == sample_execute().segment);
  CHECK(e.first_fresh_id == 77);
  CHECK(!e.is_whole);
  CHECK(e.bindings == sample_execute().bindings);
  CHECK(e.live_out == sample_execute().live_out);
  CHECK(e.scalars == sample_execute().scalars);
  CHECK(e.deaths == sample_execute().deaths);

  Hello h;
  h.version = "0.1.0";
  h.command = "python train.py";
  h.pid = 4711;
  CHECK(round_trip(h).command == "python train.py");
  Read r{9, ops.part.views[0], 4, 5, 6};
  CHECK(round_trip(r).view == r.view);
  Upload u;
  u.storage = 3;
  u.data = Bytes(5, std::byte{7});
  u.bytes = 5;
  CHECK(round_trip(u).data == u.data);
  Done d;
  d.events = {{1, 100}, {2, 200}};
  d.plan_hits = 3;
  d.frames_received = 5;
  d.allocations = 6;
  d.mappings = 7;
  d.planning_ns = 8;
  d.plans_resized = 9;
  CHECK(round_trip(d).frames_received == 5);
  CHECK(round_trip(d).allocations == 6);
  CHECK(round_trip(d).mappings == 7);
  CHECK(round_trip(d).planning_ns == 8);
  CHECK(round_trip(d).plans_resized == 9);
  CHECK(round_trip(d).events == d.events);
  CHECK(round_trip(d).plan_hits == 3);
  OpTable t{{"mm", "add.Tensor"}, {1, 2}};
  CHECK(round_trip(t).names == t.names);
  Error err{2, true, 8, 9, "[plan] no"};
  CHECK(round_trip(err).text == err.text);
  StatusReply s;
  s.jobs = {{1, "python a.py", 2, 3, 0, 9}, {4, "", 5, 6, 0, 10}};
  s.notes = {"one", ""};
  StatusReply back = round_trip(s);
  REQUIRE(back.jobs.size() == 2);
  CHECK(back.jobs[0].command == "python a.py");
  CHECK(back.notes == s.notes);
}

TEST_CASE("an encoder gives the same bytes again and again, in the same memory") {
  Encoder encoder;
  Execute m = sample_execute();
  const std::byte* memory = encoder.encode(m).data();
  for (int i = 0; i < 3; i++) {
    Span small = encoder.encode(Sync{7, true});
    CHECK(Bytes(small.begin(), small.end()) == encode(Sync{7, true}));
    Span bytes = encoder.encode(m);
    CHECK(Bytes(bytes.begin(), bytes.end()) == encode(m));
    CHECK(bytes.data() == memory);
  }
}

TEST_CASE("decoding into a message that was used leaves nothing of it and keeps its memory") {
  Execute m;
  REQUIRE(decode_into(encode(sample_execute()), m).ok());
  const uint64_t* memory = m.scalars.data();
  REQUIRE(decode_into(encode(Execute{}), m).ok());
  CHECK(m.is_whole);
  CHECK((m.bindings.empty() && m.live_out.empty() && m.scalars.empty() && m.deaths.empty()));
  REQUIRE(decode_into(encode(sample_execute()), m).ok());
  CHECK(m.scalars == sample_execute().scalars);
  CHECK(m.scalars.data() == memory);

  Ops ops = sample_ops();
  REQUIRE(decode_into(encode(Ops{}), ops).ok());
  CHECK((ops.part.names.empty() && ops.part.slots.empty() && ops.part.views.empty() &&
         ops.part.words.empty()));
  StatusReply reply;
  reply.jobs.resize(2);
  reply.notes = {"old"};
  REQUIRE(decode_into(encode(StatusReply{}), reply).ok());
  CHECK((reply.jobs.empty() && reply.notes.empty()));
}

TEST_CASE("a repeated segment costs about a hundred bytes") {
  Execute m = sample_execute();
  m.live_out.clear();
  CHECK(encode(m).size() <= 176);
}

TEST_CASE("inline data and its length must agree") {
  Upload u;
  u.bytes = 6;
  u.data = Bytes(5, std::byte{7});
  CHECK(!decode<Upload>(encode(u)).ok());
}

TEST_CASE("mutated bytes give a Status or a message, never a crash") {
  std::mt19937 random(7);
  std::vector<Bytes> seeds = {encode(sample_ops()), encode(sample_execute())};
  for (int round = 0; round < 20000; round++) {
    Bytes b = seeds[static_cast<size_t>(round) % 2];
    for (int i = 0; i < 3; i++) b[random() % b.size()] = static_cast<std::byte>(random());
    if (round % 5 == 0) b.resize(random() % b.size());
    if (round % 2 == 0) {
      auto m = decode<Ops>(b);
      if (m.ok()) (void)verify(m->part);
    } else {
      (void)decode<Execute>(b);
    }
  }
}

TEST_CASE("golden bytes of version 1") {
  // MOAI_GOLDEN is tests/golden; MOAI_GOLDEN_UPDATE=1 rewrites the file.
  std::string path = std::string(MOAI_GOLDEN) + "/wire_v1.txt";
  std::ostringstream now;
  auto line = [&](const char* name, const Bytes& b) {
    now << name << ' ';
    for (std::byte x : b)
      now << "0123456789abcdef"[static_cast<int>(x) >> 4]
          << "0123456789abcdef"[static_cast<int>(x) & 15];
    now << '\n';
  };
  line("Ops", encode(sample_ops()));
  line("Execute", encode(sample_execute()));
  line("Read", encode(Read{9, sample_ops().part.views[0], 4, 5, 6}));
  line("Done", encode(Done{1, 2, 3, 4, 5, {{6, 7}}, 8, 9, 10, 11}));
  line("DoneCounts", encode(Done{1, 2, 3, 4, 5, {{6, 7}}, 8, 9, 10, 11, 12, 13, 14}));
  line("DonePlans", encode(Done{1, 2, 3, 4, 5, {{6, 7}}, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
  line("Error", encode(Error{2, true, 8, 9, "text"}));
  if (std::getenv("MOAI_GOLDEN_UPDATE")) std::ofstream(path) << now.str();
  std::ifstream in(path);
  std::stringstream golden;
  golden << in.rdbuf();
  CHECK(golden.str() == now.str());
}
