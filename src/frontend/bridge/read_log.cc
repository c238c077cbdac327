// Values that the program waited for, by Python line.
#include "src/frontend/bridge/read_log.h"

#include <ATen/SequenceNumber.h>
#include <torch/csrc/autograd/function.h>

#include "src/frontend/bridge/python_line.h"

namespace moai::bridge {
namespace {

constexpr size_t kOpenMax = 64;  // reads of a step that are told apart

}  // namespace

void ReadLog::note_read() {
  if (!is_wanted_) return;
  std::string line = python_line();  // takes the GIL: never under the mutex
  line = line.size() > 3 ? line.substr(2, line.size() - 3) : "unknown line";
  std::lock_guard lock(mutex_);
  lines_[line].reads++;
  if (open_.size() >= kOpenMax) return;
  open_.push_back({std::move(line), at::sequence_number::peek()});
  is_watching_.store(true, std::memory_order_relaxed);
}

void ReadLog::note_op() {
  const auto node = torch::autograd::get_current_node();
  if (!node) return;
  std::lock_guard lock(mutex_);
  std::erase_if(open_, [&](const Open& read) {
    if (node->sequence_nr() >= read.sequence) return false;
    lines_[read.line].before_backward++;
    return true;
  });
  is_watching_.store(!open_.empty(), std::memory_order_relaxed);
}

void ReadLog::end_step() {
  if (!is_watching()) return;
  std::lock_guard lock(mutex_);
  open_.clear();
  is_watching_.store(false, std::memory_order_relaxed);
}

std::map<std::string, ReadLog::Line> ReadLog::lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

}  // namespace moai::bridge
