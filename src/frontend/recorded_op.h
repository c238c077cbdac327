// One operator out of a segment: its arguments one by one, what identifies it, and how it is taken
// out to be recorded again in the next.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "src/frontend/capture.h"
#include "src/wire/segment.h"

namespace moai::frontend {

inline std::span<const uint64_t> words_of(const wire::Segment& s, size_t op) {
  const size_t begin = op == 0 ? 0 : s.op_end[op - 1];
  return std::span(s.words).subspan(begin, s.op_end[op] - begin);
}

// Of all that decides how it is planned, but not of the storages that it works on.
uint64_t signature_of(const wire::Segment& segment, size_t op);

struct RecordedOp {
  std::string name;
  std::vector<uint64_t> words;
  std::vector<std::pair<Storage*, wire::View>> tensors;  // of the words, in order
  std::vector<std::string> texts;                        // likewise
  wire::Scalars scalars;
};

}  // namespace moai::frontend
