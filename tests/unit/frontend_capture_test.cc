#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "src/wire/reader.h"
#include "tests/unit/recorder_fixture.h"

using namespace moai;
using namespace moai::frontend;

TEST_CASE("a repeat has the same identity whatever its ids and lifted values") {
  Fixture f;
  std::vector<SegmentId> ids;
  for (int i = 0; i < 3; i++) {
    Storage *a = f.uploaded(), *b = f.uploaded(), *c = f.make(), *d = f.make();
    f.add(c, a, b, i);
    f.sum(d, c, {1});
    ids.push_back(f.cut());
    for (Storage* s : {a, b, c, d}) f.recorder.died(s);
  }
  CHECK(ids[0] == ids[1]);
  CHECK(ids[0] == ids[2]);
  const wire::Execute& e = f.session.executes[2];
  CHECK(e.scalars == wire::Scalars{std::bit_cast<uint64_t>(2.0)});
  CHECK(e.is_whole);
  CHECK(e.bindings.size() == 2);
  CHECK(f.session.segments[0].scalar_count == 1);
  CHECK(f.session.segments[0].names == std::vector<std::string>{"add.Tensor", "sum.dim_IntList"});
}

TEST_CASE("a kept name and a borrowed view record the same segment, again after a cut") {
  Fixture f;
  OpName name("add.Tensor");
  const std::array<int64_t, 2> sizes{4, 4}, strides{4, 1};
  ViewRef view;
  view.sizes = sizes;
  view.strides = strides;
  auto add = [&](Storage* out, Storage* a, Storage* b) {
    std::lock_guard lock(f.recorder.mutex());
    f.recorder.begin(name);
    f.recorder.tensor(a, view);
    f.recorder.tensor(b, view);
    f.recorder.scalar_real(1);
    f.recorder.outputs(1);
    f.recorder.tensor(out, view);
    f.recorder.end();
  };
  std::vector<SegmentId> ids;
  for (int i = 0; i < 3; i++) {
    Storage *a = f.uploaded(), *b = f.uploaded(), *c = f.make(), *d = f.make();
    if (i == 2) f.sum(f.make(), a, {1});  // the name is no longer the first
    if (i == 1) f.add(c, a, b), f.add(d, c, c);
    if (i != 1) add(c, a, b), add(d, c, c);
    ids.push_back(f.cut());
  }
  CHECK(ids[0] == ids[1]);
  CHECK(ids[0] != ids[2]);
  CHECK(f.session.segments[0].views == f.session.segments[1].views);
  CHECK(f.session.segments[0].names == std::vector<std::string>{"add.Tensor"});
  CHECK(f.session.segments[2].names == std::vector<std::string>{"sum.dim_IntList", "add.Tensor"});
  CHECK(f.session.segments[2].op_name == std::vector<uint32_t>{0, 1, 1});
}

TEST_CASE("identity depends on everything structural") {
  Fixture f;
  std::vector<SegmentId> seen;
  auto check_new = [&] {
    SegmentId id = f.cut();
    CHECK(std::find(seen.begin(), seen.end(), id) == seen.end());
    seen.push_back(id);
  };
  Storage *a = f.uploaded(), *b = f.uploaded();
  f.add(f.make(), a, b), check_new();
  f.add(f.make(), a, a), check_new();                      // aliasing
  f.add(a, a, b), check_new();                             // in place
  f.add(f.make(), f.make(), b), check_new();               // fresh, not bound
  f.add(f.make(128), a, b), check_new();                   // bytes of a slot
  f.add(f.make(), a, b, 1, view_of({2, 8})), check_new();  // sizes
  f.add(f.make(), a, b, 1, view_of({4, 4}, DType::i32)), check_new();
  f.add(f.make(), a, b, 1, view_of({4}, DType::f32, 1)), check_new();
  wire::View conj = view_of({4, 4});
  conj.is_conj = true;
  f.add(f.make(), a, b, 1, conj), check_new();
  wire::View transposed = view_of({4, 4});
  transposed.strides = {1, 4};
  f.add(f.make(), a, b, 1, transposed), check_new();
  f.sum(f.make(), a, {0}), check_new();
  f.sum(f.make(), a, {1}), check_new();
  f.sum(f.make(), a, {0, 1}), check_new();
  f.add(f.make(), a, b), f.add(f.make(), a, b), check_new();  // twice
}

TEST_CASE("words carry what the reader gives back") {
  Fixture f;
  Storage *a = f.uploaded(), *out = f.make();
  {
    std::lock_guard lock(f.recorder.mutex());
    Recorder& r = f.recorder;
    r.begin("everything");
    r.list(2), r.tensor(a, view_of({2})), r.none();
    r.integer(-5), r.integer(INT64_MIN), r.integer((int64_t{1} << 55) - 1);
    r.real(0.5);
    std::vector<double> reals = {1, 2};
    r.reals(reals);
    r.scalar_int(-1), r.scalar_bool(true);
    std::vector<uint64_t> same = {9, 9, 9}, different = {1, 2};
    r.scalar_list(same, wire::Tag::scalar_int);
    r.scalar_list(different, wire::Tag::scalar_int);
    r.scalar_list({}, wire::Tag::scalar_int);
    r.text("mean"), r.rng(11, 12);
    r.outputs(2), r.tensor(out, view_of({2})), r.none();
    r.end();
  }
  f.cut();
  const wire::Segment& s = f.session.segments[0];
  uint32_t scalar = 0;
  wire::ArgReader read(s, 0, &scalar);
  auto list = read.tensors();
  REQUIRE(list.size() == 2);
  CHECK(list[0]->slot == 0);
  CHECK_FALSE(list[1].has_value());
  CHECK(read.integer() == -5);
  CHECK(read.integer() == INT64_MIN);
  CHECK(read.integer() == (int64_t{1} << 55) - 1);
  CHECK(read.real() == 0.5);
  CHECK(read.peek() == wire::Tag::real_list);
  CHECK(f.session.executes[0].scalars == wire::Scalars{~uint64_t{0}, 1, 9, 1, 2, 11, 12});
  CHECK(s.scalar_count == 7);
  CHECK(s.texts == std::vector<std::string>{"mean"});
  CHECK(s.slots[0] == wire::Slot{64, false});
  CHECK(s.slots[1] == wire::Slot{64, true});
}

TEST_CASE("fresh slots get consecutive ids though an upload comes between") {
  Fixture f;
  Storage *a = f.uploaded(), *c = f.make(), *d = f.make();
  CHECK(a->id == 1);
  f.add(c, a, a);
  CHECK(c->id == 0);
  CHECK(f.recorder.has_contents(c));
  CHECK_FALSE(f.recorder.has_contents(d));
  Storage* b = f.uploaded();
  f.add(d, c, b);
  f.cut();
  const wire::Execute& e = f.session.executes[0];
  CHECK(e.first_fresh_id == c->id);
  CHECK(d->id == c->id + 1);
  CHECK(b->id != c->id);
  CHECK(b->id != d->id);
  CHECK(e.bindings == std::vector<std::pair<uint32_t, uint64_t>>{{0, a->id}, {2, b->id}});
}

TEST_CASE("live out: written or fresh, and alive at the cut") {
  Fixture f;
  Storage *a = f.uploaded(), *b = f.uploaded(), *c = f.make(), *d = f.make();
  f.add(c, a, b);  // slots: a 0, b 1, c 2
  f.recorder.died(b);
  f.add(d, c, a);  // d 3
  f.add(a, a, d);  // a is written
  f.recorder.died(c);
  CHECK(f.recorder.has_contents(c));  // kept until the cut
  uint64_t dead = b->id;
  f.cut();
  CHECK(f.session.executes[0].live_out == std::vector<uint32_t>{0, 3});
  CHECK(f.session.executes[0].deaths == std::vector<uint64_t>{dead});
  f.recorder.died(d);
  uint64_t id = d->id;
  f.add(f.make(), a, a);
  f.cut();
  CHECK(f.session.executes[1].deaths == std::vector<uint64_t>{id});
  CHECK(f.session.early_deaths.empty());
}

TEST_CASE("an empty cut hands nothing over but deaths and steps") {
  Fixture f;
  REQUIRE(f.recorder.cut().ok());
  CHECK(f.session.executes.empty());
  f.recorder.died(f.make());
  REQUIRE(f.recorder.cut().ok());
  CHECK(f.session.early_deaths.empty());
  Storage* a = f.uploaded();
  uint64_t id = a->id;
  f.recorder.died(a);
  REQUIRE(f.recorder.cut().ok());
  CHECK(f.session.executes.empty());
  CHECK(f.session.early_deaths == std::vector<std::vector<uint64_t>>{{id}});
  REQUIRE(f.recorder.cut(true).ok());
  CHECK(f.session.steps == 1);
}

TEST_CASE("many dead bytes go ahead of the segment and do not wait for one") {
  Fixture f;
  uint64_t large = uint64_t{65} << 20;
  Storage* a = f.make(large);
  REQUIRE(f.recorder.upload(a, {}).ok());
  uint64_t id = a->id;
  f.recorder.died(a);
  f.add(f.make(), f.uploaded(), f.uploaded());  // the upload sends them
  CHECK(f.session.early_deaths == std::vector<std::vector<uint64_t>>{{id}});
  Storage* b = f.make(large);
  f.add(b, b, b);
  f.cut();
  f.recorder.died(b);
  id = b->id;
  f.add(f.make(), f.make(), f.make());
  f.cut();
  CHECK(f.session.early_deaths.back() == std::vector<uint64_t>{id});
  CHECK(f.session.executes.back().deaths.empty());
}

TEST_CASE("reads cut first; a storage that nobody wrote reads as zeros") {
  Fixture f;
  Storage *a = f.uploaded(), *c = f.make();
  f.add(c, a, a);
  std::vector<std::byte> out(64);
  REQUIRE(f.recorder.read(c, view_of({4, 4}), out).ok());
  CHECK(f.session.executes.size() == 1);
  CHECK(f.session.reads == std::vector<uint64_t>{c->id});
  CHECK(out[5] == std::byte{7});
  REQUIRE(f.recorder.read(f.make(), view_of({4, 4}), out).ok());
  CHECK(out[5] == std::byte{0});
  CHECK(f.session.reads.size() == 1);
}

TEST_CASE("a failed upload leaves the storage without contents") {
  Fixture f;
  Storage* a = f.make();
  f.session.fail = unavailable("The server is away.");
  CHECK(f.recorder.upload(a, {}).code() == StatusCode::unavailable);
  CHECK_FALSE(f.recorder.has_contents(a));
  f.session.fail = {};
  REQUIRE(f.recorder.upload(a, {}).ok());
  CHECK(f.recorder.upload(a, {}).code() == StatusCode::internal);
}

TEST_CASE("a full segment asks for a cut") {
  Fixture f;
  Storage *a = f.uploaded(), *c = f.make();
  size_t ops = 0;
  while (!f.recorder.wants_cut()) f.add(c, a, a), ops++;
  CHECK(ops > kSegmentOpsMax - 1000);
  REQUIRE(f.recorder.cut_wanted().ok());
  CHECK(f.session.cuts == std::vector{Cut::whole});  // it counts as run-ahead
  CHECK_FALSE(f.recorder.wants_cut());
  CHECK(f.recorder.ops_recorded() == ops);
}

TEST_CASE("threads record, cut and let die at once") {
  Fixture f;
  f.session.keep = false;
  std::atomic<int> failed_cuts = 0;  // an assertion is for the test's own thread
  auto work = [&] {
    for (int i = 0; i < 300; i++) {
      Storage *a = f.make(), *b = f.make();
      f.add(b, a, a);
      f.recorder.died(a);
      if (i % 16 == 0 && !f.recorder.cut().ok()) failed_cuts++;
      f.recorder.died(b);
    }
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(failed_cuts == 0);
  REQUIRE(f.recorder.cut().ok());
  uint64_t fresh = 0, last = 0;
  for (const wire::Execute& e : f.session.executes) {
    CHECK(e.first_fresh_id > last);  // segments arrive in the order of their cuts
    last = e.first_fresh_id;
    fresh += e.scalars.size();
  }
  CHECK(fresh == 600);
}

TEST_CASE("cost of a record", "[.bench]") {
  Fixture f;
  f.session.keep = false;
  std::vector<Storage*> storages;
  for (int i = 0; i < 64; i++) storages.push_back(f.uploaded());
  wire::View view = view_of({2, 4, 2});
  double best = 1e9;
  for (int round = 0; round < 30; round++) {
    auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 4096; i++)
      f.add(storages[i % 64], storages[i * 7 % 64], storages[i * 5 % 64], i, view);
    std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count() / 4096);
    REQUIRE(f.recorder.cut().ok());
  }
  std::cout << "record and hash, 3 operands: " << best << " ns\n";
}
