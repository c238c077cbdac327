// The plan of a segment: per-device programs with a rank coordinate. One device for now: one
// program.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "moai/device.h"
#include "moai/status.h"

namespace moai::sched {

struct Rank {
  uint32_t index = 0, count = 1;
  bool operator==(const Rank&) const = default;
};

struct RankProgram {
  Rank rank;
  Program program;
};

struct Plan {
  std::vector<RankProgram> programs;  // by rank
  std::vector<uint32_t> read_slots;   // storages that the program reads, ascending
  std::vector<uint32_t>
      written_slots;  // storages that it writes (fresh ones and updates), ascending
  uint32_t scalar_count = 0;
  std::vector<uint8_t> scalar_is_real;
  bool is_resized = false;  // its kernels come from plans of other sizes
};

std::string print(const Plan&);          // for --dump=plan
std::string print(const KernelSource&);  // one line: what it computes, on which shapes

}  // namespace moai::sched
