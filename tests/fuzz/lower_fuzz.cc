// Peer bytes -> segment -> graph: refuse or make a sound graph, never crash. The first byte chooses
// between the bytes as a message and the bytes as choices of a generator that knows the op names.
#include <cstdlib>
#include <numeric>

#include "src/ir/verify.h"
#include "src/wire/messages.h"
#include "tests/support/random_segment.h"

namespace {

constexpr size_t kNodesAWord = 64;

void lower_one(const moai::wire::Segment& segment) {
  if (!moai::wire::verify(segment).ok()) return;
  std::vector<uint32_t> live(std::min<size_t>(segment.slots.size(), 64));
  std::iota(live.begin(), live.end(), 0);
  auto graph = moai::lower::lower(segment, live);
  if (!graph.ok()) return;
  if (!moai::ir::verify(*graph).ok()) std::abort();
  // What a peer makes us do is bounded by what it sent, whatever sizes it names.
  if (graph->nodes().size() > kNodesAWord * (segment.words.size() + live.size())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] % 2) {
    // A copy: a connection's buffers are aligned.
    auto bytes = std::as_bytes(std::span(data + 1, size - 1));
    auto ops = moai::wire::decode<moai::wire::Ops>(moai::wire::Bytes(bytes.begin(), bytes.end()));
    if (ops.ok()) lower_one(ops->part);
    return 0;
  }
  lower_one(moai::testing::RandomSegment({data + 1, size - 1}).make());
  return 0;
}
