// A segment as numbers and what is left without them: two that differ in sizes alone have one
// skeleton.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "moai/status.h"
#include "src/wire/segment.h"

namespace moai::engine {

// Bytes of slots, offsets, sizes and strides of views, integer arguments, in this order. Requires:
// a segment that wire::verify() accepts.
std::vector<int64_t> numbers_of(const wire::Segment& segment);
// All of the segment but its numbers and its id.
std::vector<uint64_t> skeleton_of(const wire::Segment& segment);
// The segment with other numbers, checked. invalid_argument where there is no such segment.
StatusOr<wire::Segment> with_numbers(const wire::Segment& segment,
                                     std::span<const int64_t> numbers);

}  // namespace moai::engine
