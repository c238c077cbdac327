// What tells a new segment from the one before.
#include "src/frontend/recompile_reasons.h"
#include "tests/unit/recorder_fixture.h"

namespace moai::frontend {
namespace {

struct Explained : Fixture {
  Explained() { recorder.explain_segments(); }
  // One step: c = a + b, of these sizes; then a sum over `dims`.
  void step(const Shape& sizes, std::vector<int64_t> dims = {0}, int more = 0) {
    Storage *out = make(1024), *total = make(1024);
    add(out, a, a, 1, view_of(sizes));
    for (int i = 0; i < more; i++) add(out, a, a, 1, view_of(sizes));
    sum(total, out, std::move(dims));
    REQUIRE(recorder.cut(true).ok());
    recorder.died(out);
    recorder.died(total);
  }
  std::string change(const std::string& what) {
    const auto all = recorder.recompile_reasons();
    INFO("reasons: " << all.size());
    for (const auto& [key, reason] : all) UNSCOPED_INFO(key << ": " << reason.change);
    REQUIRE(all.contains(what));
    return all.at(what).change;
  }
  Storage* a = uploaded(1024);
};

const char* const kFirst = "nothing like it before";

TEST_CASE("the first segment is like nothing before") {
  Explained e;
  e.step({4, 4});
  CHECK(e.change(kFirst) == "begins with add.Tensor");
  CHECK(e.recorder.recompile_reasons().size() == 1);
}

TEST_CASE("a segment that the server knows has no reason") {
  Explained e;
  for (int i = 0; i < 3; i++) e.step({4, 4});
  // The tensors of a step die before the next: what lives is the same from the second step on.
  const auto reasons = e.recorder.recompile_reasons();
  CHECK(reasons.size() == 1);
  CHECK(reasons.at(kFirst).segments == 1);
}

TEST_CASE("a size that changes is named, and counted by what it is, not by its values") {
  Explained e;
  for (int64_t i = 0; i < 6; i++) e.step({4, 4 + i});
  CHECK(e.change("size 1 of operand 1 of add.Tensor").ends_with(" to 9"));
  const auto reasons = e.recorder.recompile_reasons();
  CHECK(reasons.size() == 2);
  const RecompileReasons::Reason& reason = reasons.at("size 1 of operand 1 of add.Tensor");
  CHECK(reason.segments == 5);
  CHECK(reason.ops == 10);
  CHECK(reason.last_step == 5);
}

TEST_CASE("numbers, ranks, types and other operators are named") {
  Explained e;
  e.step({4, 4});
  e.step({4, 4}, {1});
  CHECK(e.change("number 1 of sum.dim_IntList") == "[0] to [1]");
  e.step({4, 4}, {0, 1});
  CHECK(e.change("number 1 of sum.dim_IntList").ends_with(" to [0, 1]"));
  e.step({16});
  CHECK(e.change("the number of sizes of operand 1 of add.Tensor") == "2 to 1");
  e.step({4, 4}, {0}, 1);
  CHECK(e.change("other operators from add.Tensor on") == "sum.dim_IntList to add.Tensor");
}

TEST_CASE("another tensor in the same place is named") {
  Explained e;
  Storage* b = e.uploaded(1024);
  Storage* out = e.make(1024);
  e.add(out, e.a, e.a, 1, view_of({4}));
  e.cut();
  e.add(out, e.a, b, 1, view_of({4}));
  e.cut();
  CHECK(e.change("the identity of operand 2 of add.Tensor") ==
        "a tensor to another of the segment");
}

TEST_CASE("without anybody who asks nothing is kept") {
  Fixture f;
  Storage* a = f.uploaded();
  f.add(f.make(), a, a);
  f.cut();
  CHECK(f.recorder.recompile_reasons().empty());
}

}  // namespace
}  // namespace moai::frontend
