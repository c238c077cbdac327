// Where to split the segments of a program whose sizes change at every step: a growing key/value
// cache, texts of any length. One new size makes a whole segment new, to be sent and planned again.
// Split where operators begin and cease to be steady, the steady ones stay in segments that are
// known.
//
// Decides by what was recorded alone, never by time: a program that runs again is split alike.
#pragma once
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace moai::frontend {

class SplitPolicy {
 public:
  // Whether operators are looked at.
  bool is_active() const { return is_active_; }
  // Active only: an operator joined `ops_before` others in the open segment. `signature`: of all
  // that decides its plan. True: the segment should end before it.
  bool note_op(uint64_t signature, size_t ops_before);
  // A segment of `ops` operators was cut and handed over. is_new: the server did not know it.
  // is_split: cut by this policy or because it was full, not by the program.
  void note_cut(size_t ops, bool is_new, bool is_split);

 private:
  void end_generation();
  void judge();

  // Between two cuts of the program.
  struct Generation {
    uint64_t ops = 0, new_ops = 0;  // the latter in new segments
    uint64_t splits = 0;
  };
  // An operator is steady when every other generation since its first had it.
  struct Seen {
    uint32_t first = 0, last = 0, count = 0;  // generations
  };
  bool is_steady(uint64_t signature);

  bool is_active_ = false;
  uint32_t number_ = 1;  // of the generation
  Generation generation_, judged_;
  int judged_count_ = 0;
  int score_ = 0;                       // of generations with new segments, while inactive
  uint32_t rest_ = 0, next_rest_ = 64;  // generations without a try
  bool is_run_steady_ = false;          // what the open segment is made of
  size_t run_ = 0;
  std::unordered_map<uint64_t, Seen> seen_;  // by signature
};

}  // namespace moai::frontend
