// Why segments had to be sent and planned: what first tells each from the one before that is most
// like it.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "src/wire/segment.h"

namespace moai::frontend {

class RecompileReasons {
 public:
  struct Reason {
    uint64_t segments = 0, ops = 0;  // that were new for it, operators in them
    uint64_t last_step = 0;          // of the program, from 0 on
    std::string change;              // of the latest: "33 to 34"
  };

  // A segment that the server did not know.
  void note(const wire::Segment& segment, uint64_t step);
  // By what changed: "size 1 of operand 2 of bmm".
  const std::map<std::string, Reason>& all() const { return reasons_; }

 private:
  struct Known {
    wire::Segment segment;
    std::vector<uint64_t> names, signatures;  // by operator; the former hashed
  };
  const Known* most_alike(const Known& segment) const;
  void keep(Known segment);

  std::deque<Known> known_;  // the latest in front
  size_t words_ = 0;         // of known_
  std::map<std::string, Reason> reasons_;
};

}  // namespace moai::frontend
