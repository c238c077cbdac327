#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <vector>

#include "tests/unit/recorder_fixture.h"

using namespace moai;
using namespace moai::frontend;

namespace {

// Operands of an operator, numbered by first appearance.
using Trace = std::vector<std::vector<size_t>>;

template <class Key>
struct Numbers {
  std::map<Key, size_t> of;
  size_t operator()(Key key) { return of.try_emplace(key, of.size()).first->second; }
};

// What the server would run, storage by storage; a binding has to name what lives.
Trace run_all(const FakeSession& session) {
  Trace trace;
  Numbers<uint64_t> number;
  std::set<uint64_t> alive(session.uploads.begin(), session.uploads.end());
  for (size_t i = 0; i < session.segments.size(); i++) {
    const wire::Segment& segment = session.segments[i];
    const wire::Execute& execute = session.executes[i];
    REQUIRE(wire::verify(segment).ok());
    REQUIRE(execute.scalars.size() == segment.scalar_count);
    std::vector<uint64_t> ids(segment.slots.size());
    uint64_t fresh = execute.first_fresh_id;
    for (size_t slot = 0; slot < ids.size(); slot++)
      if (segment.slots[slot].is_fresh) ids[slot] = fresh++;
    for (auto [slot, id] : execute.bindings) {
      REQUIRE(alive.contains(id));
      ids[slot] = id;
    }
    size_t at = 0;
    for (uint32_t end : segment.op_end) {
      trace.emplace_back();
      for (; at < end; at++)
        if (wire::tag_of(segment.words[at]) == wire::Tag::tensor)
          trace.back().push_back(number(ids[wire::slot_of(segment.words[at])]));
    }
    for (uint32_t slot : execute.live_out) alive.insert(ids[slot]);
    for (uint64_t id : execute.deaths) alive.erase(id);
  }
  return trace;
}

// A program: steps of operators, some of which have sizes of the step.
struct Program : Fixture {
  void op(Storage* out, Storage* a, Storage* b, int64_t size) {
    add(out, a, b, 1, view_of({size, 1}));
    if (recorder.wants_cut()) REQUIRE(recorder.cut_wanted().ok());
    recorded.push_back({number(serial[a]), number(serial[b]), number(serial[out])});
  }
  // `known` operators whose sizes stay, `fresh` whose sizes do not, and again; then a read.
  void step(int64_t size, int known, int fresh) {
    Storage* x = weight;
    std::vector<Storage*> made;
    for (int half = 0; half < 2; half++)
      for (int i = 0; i < known + fresh; i++) {
        made.push_back(make(65536));
        serial[made.back()] = ++last_serial;  // addresses come again
        op(made.back(), x, i % 2 == 0 ? weight : x, i < known ? 8 : size);
        x = made.back();
      }
    const size_t before = session.segments.size();
    REQUIRE(recorder.cut().ok());
    for (Storage* s : made) recorder.died(s);
    new_ops = 0;
    for (size_t i = first; i < session.segments.size(); i++)
      if (ids.insert({session.segments[i].id.lo, session.segments[i].id.hi}).second)
        new_ops += session.segments[i].op_count();
    segments = session.segments.size() - first;
    first = session.segments.size();
    REQUIRE(first > before);
  }

  Storage* weight = uploaded(65536);
  std::map<Storage*, size_t> serial;
  size_t last_serial = 0;
  Numbers<size_t> number;
  Trace recorded;
  std::set<std::pair<uint64_t, uint64_t>> ids;
  size_t first = 0, segments = 0, new_ops = 0;  // of the last step
};

}  // namespace

TEST_CASE("a program with one new size a step is split around it") {
  Program p;
  for (int64_t i = 0; i < 40; i++) p.step(100 + i, 12, 2);
  CHECK(p.segments == 4);
  CHECK(std::vector(p.session.cuts.end() - 4, p.session.cuts.end()) ==
        std::vector{Cut::part, Cut::part, Cut::part, Cut::whole});
  CHECK(p.new_ops == 2);  // both halves have the same sizes: one segment
  CHECK(run_all(p.session) == p.recorded);
  CHECK(p.recorder.ops_recorded() == p.recorded.size());
  // It runs again with sizes that are known by now.
  for (int64_t i = 0; i < 20; i++) p.step(100 + i, 12, 2);
  CHECK(p.new_ops == 0);
}

TEST_CASE("a steady program is not split") {
  Program p;
  for (int64_t i = 0; i < 40; i++) p.step(100, 12, 2);
  CHECK(p.segments == 1);
  CHECK(p.new_ops == 0);
}

TEST_CASE("a program that is new throughout is not split") {
  Program p;
  for (int64_t i = 0; i < 60; i++) p.step(100 + i, 1, 12);
  CHECK(p.segments == 1);
  CHECK(run_all(p.session) == p.recorded);
}

TEST_CASE("a program is split alike when it runs again") {
  std::vector<std::vector<SegmentId>> ids(2);
  for (auto& run : ids) {
    Program p;
    for (int64_t i = 0; i < 40; i++) p.step(100 + i % 30, 12, 2);
    for (const wire::Segment& s : p.session.segments) run.push_back(s.id);
  }
  CHECK(ids[0] == ids[1]);
}

TEST_CASE("lists, texts, numbers and wide words move to the next segment") {
  Program p;
  for (int64_t i = 0; i < 20; i++) {
    for (int k = 0; k < 20; k++) p.op(p.weight, p.weight, p.weight, 8);
    Storage* out = p.make(65536);
    {
      std::lock_guard lock(p.recorder.mutex());
      p.recorder.begin("made.up");
      p.recorder.list(2);
      p.recorder.tensor(p.weight, view_of({100 + i}));
      p.recorder.none();
      p.recorder.integers(std::vector<int64_t>{1, 2, 300 + i});
      p.recorder.integer(INT64_MAX);
      p.recorder.real(0.5);
      p.recorder.text("a text");
      p.recorder.scalar_int(i);
      p.recorder.rng(3, static_cast<uint64_t>(i));
      p.recorder.outputs(1);
      p.recorder.tensor(out, view_of({100 + i}));
      p.recorder.end();
    }
    if (p.recorder.wants_cut()) REQUIRE(p.recorder.cut_wanted().ok());
    p.cut();
    p.recorder.died(out);
  }
  REQUIRE(p.session.segments.size() > 25);
  run_all(p.session);
  const wire::Segment& last = p.session.segments.back();
  REQUIRE(last.op_count() == 1);
  CHECK(last.names == std::vector<std::string>{"made.up"});
  CHECK(last.texts == std::vector<std::string>{"a text"});
  CHECK(p.session.executes.back().scalars == wire::Scalars{19, 3, 19});
  CHECK(std::find(last.words.begin(), last.words.end(), 319u) != last.words.end());
}
