// Values that the program waited for, by Python line: kept when somebody wants the statistics.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace moai::bridge {

class ReadLog {
 public:
  struct Line {
    uint64_t reads = 0;
    uint64_t before_backward = 0;  // of them, between a forward and its backward
  };

  explicit ReadLog(bool is_wanted) : is_wanted_(is_wanted) {}

  void note_read();
  // Whether note_op() has to be called after each operator.
  bool is_watching() const { return is_watching_.load(std::memory_order_relaxed); }
  // An operator of a backward that was built before a read: that read lies between.
  void note_op();
  void end_step();
  std::map<std::string, Line> lines() const;  // by "train.py:12"

 private:
  struct Open {
    std::string line;
    uint64_t sequence;  // of the next node of the autograd graph
  };

  const bool is_wanted_;
  std::atomic<bool> is_watching_{false};
  mutable std::mutex mutex_;
  std::map<std::string, Line> lines_;
  std::vector<Open> open_;  // of this step, and no backward reached what was before them
};

}  // namespace moai::bridge
