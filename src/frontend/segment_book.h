// What the server knows of this session's segments: definitions sent, and the bindings it saw last.
// Bookkeeping only.
#pragma once
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moai/ids.h"
#include "src/wire/messages.h"

namespace moai::frontend {

// The Ops messages of a segment, encoded, each well under the ring.
std::vector<wire::Bytes> encode_pieces(const wire::Segment& segment);

class SegmentBook {
 public:
  explicit SegmentBook(uint64_t bytes_max = uint64_t{64} << 20) : bytes_max_(bytes_max) {}

  // The Ops that defined it, or nullptr; a use.
  const std::vector<wire::Bytes>* find(const SegmentId& id);
  void define(const SegmentId& id, std::vector<wire::Bytes> pieces);
  // Reduces whole bindings to the difference where both ends remember the last ones, and remembers
  // these. is_definition: it goes out as segment_end, whole.
  void bind(wire::Execute& execute, bool is_definition);
  // What was sent may have been dropped: bind whole from now on.
  void forget_bindings();

 private:
  using Bindings = std::vector<std::pair<uint32_t, uint64_t>>;
  struct Definition {
    SegmentId id;
    std::vector<wire::Bytes> pieces;
    uint64_t bytes = 0;
  };
  struct Recent {
    SegmentId id;
    Bindings bindings;
  };

  uint64_t bytes_max_, bytes_ = 0;
  std::list<Definition> definitions_;  // most recently used first, like recent_
  std::list<Recent> recent_;
  std::unordered_map<SegmentId, std::list<Definition>::iterator, SegmentIdHash> definition_of_;
  std::unordered_map<SegmentId, std::list<Recent>::iterator, SegmentIdHash> recent_of_;
};

}  // namespace moai::frontend
