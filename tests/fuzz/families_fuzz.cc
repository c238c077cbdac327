// Segments that differ in one size: a plan from plans of other sizes is what planning in full
// gives. This build makes both and compares (compile.cc).
#include <cstdlib>
#include <numeric>

#include "src/engine/compile.h"
#include "tests/support/random_segment.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const moai::engine::Compiler compile = moai::engine::make_compiler({});
  // Three make a family, the next one its kernels.
  for (int64_t large = 9; large <= 16; large++) {
    moai::wire::Segment segment = moai::testing::RandomSegment({data, size}, large).make();
    if (!moai::wire::verify(segment).ok()) return 0;
    std::vector<uint32_t> live(std::min<size_t>(segment.slots.size(), 64));
    std::iota(live.begin(), live.end(), 0);
    auto plan = compile(segment, live);
    if (plan.status().code() == moai::StatusCode::internal) std::abort();
    if (!plan.ok()) return 0;
  }
  return 0;
}
