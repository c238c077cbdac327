// A recorder, and a session that keeps what it is handed, as a server would see it.
#pragma once
#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/frontend/capture.h"

namespace moai::frontend {

class FakeSession : public Session {
 public:
  Status ensure() override { return {}; }
  bool is_connected() const override { return true; }
  StatusOr<bool> supports(const std::string&, DType) override { return true; }
  StatusOr<MemoryInfo> memory() override { return MemoryInfo{}; }
  Status submit(const wire::Segment& segment, wire::Execute execute, Cut cut,
                bool& is_new) override {
    is_new = known.insert({segment.id.lo, segment.id.hi}).second;
    if (keep) segments.push_back(segment);
    last_id = segment.id;
    executes.push_back(std::move(execute));
    cuts.push_back(cut);
    steps += cut == Cut::step;
    return fail;
  }
  Status upload(uint64_t storage, std::span<const std::byte>) override {
    if (fail.ok()) uploads.push_back(storage);
    return fail;
  }
  Status deaths(std::vector<uint64_t> ids) override {
    early_deaths.push_back(std::move(ids));
    return {};
  }
  Status read(uint64_t storage, const wire::View&, std::span<std::byte> out) override {
    reads.push_back(storage);
    for (std::byte& b : out) b = std::byte{7};
    return {};
  }
  Status sync(bool) override { return {}; }
  Status record_event(uint64_t) override { return {}; }
  StatusOr<uint64_t> event_time(uint64_t) override { return uint64_t{0}; }
  Status hint(const std::string&, const std::string&) override { return {}; }
  SessionCounters counters() const override { return {}; }
  std::vector<std::string> notes() const override { return {}; }
  void forked() override {}
  void close() override {}

  bool keep = true;
  Status fail;
  SegmentId last_id;
  std::set<std::pair<uint64_t, uint64_t>> known;
  std::vector<wire::Segment> segments;
  std::vector<wire::Execute> executes;
  std::vector<Cut> cuts;
  std::vector<uint64_t> uploads, reads;
  std::vector<std::vector<uint64_t>> early_deaths;
  int steps = 0;
};

inline wire::View view_of(const Shape& sizes, DType dtype = DType::f32, int64_t offset = 0) {
  return {dtype, false, false, offset, sizes, contiguous_strides(sizes)};
}

struct Fixture {
  FakeSession session;
  Recorder recorder{session};

  Storage* make(uint64_t bytes = 64) {
    auto* s = new Storage;
    // Those that do not die during a test are the program's to its end.
    static auto& made = *new std::vector<Storage*>;
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    made.push_back(s);
    s->bytes = bytes;
    return s;
  }
  Storage* uploaded(uint64_t bytes = 64) {
    Storage* s = make(bytes);
    std::vector<std::byte> data(bytes);
    REQUIRE(recorder.upload(s, data).ok());
    return s;
  }
  // out = a + alpha * b
  void add(Storage* out, Storage* a, Storage* b, double alpha = 1,
           const wire::View& view = view_of({4, 4})) {
    std::lock_guard lock(recorder.mutex());
    recorder.begin("add.Tensor");
    recorder.tensor(a, view);
    recorder.tensor(b, view);
    recorder.scalar_real(alpha);
    recorder.outputs(1);
    recorder.tensor(out, view);
    recorder.end();
  }
  void sum(Storage* out, Storage* a, std::vector<int64_t> dims) {
    std::lock_guard lock(recorder.mutex());
    recorder.begin("sum.dim_IntList");
    recorder.tensor(a, view_of({4, 4}));
    recorder.integers(dims);
    recorder.integer(0);
    recorder.none();
    recorder.outputs(1);
    recorder.tensor(out, view_of({4}));
    recorder.end();
  }
  SegmentId cut() {
    REQUIRE(recorder.cut().ok());
    if (session.keep) REQUIRE(wire::verify(session.segments.back()).ok());
    return session.last_id;
  }
};

}  // namespace moai::frontend
