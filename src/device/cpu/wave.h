// Launches that follow each other and touch nothing of one another run as one: an optimizer's many
// small tensors are then one launch, whose chunks the whole pool shares.
#pragma once
#include <cstdint>
#include <vector>

#include "src/device/cpu/kernel.h"

namespace moai::cpu {

struct Launch {
  uint32_t kernel = 0;
  std::vector<Buffer> buffers;
  size_t pointers_at = 0;  // of its buffers, among those of its wave
};

// Launches [first, end). starts: the first chunk of each among the chunks of all, and their number;
// empty for a launch that runs alone.
struct Wave {
  size_t first = 0, end = 0, pointers = 0;
  std::vector<int64_t> starts;
};

bool share_bytes(const Buffer& a, const Buffer& b);

// Cuts a program's launches into waves, and places their pointers.
class WaveBuilder {
 public:
  explicit WaveBuilder(bool may_join) : may_join_(may_join) {}
  // Launches in order. is_written: by buffer; only looked at for kernels that have chunks.
  void add(Launch& launch, const Kernel& kernel, const std::vector<bool>& is_written);
  std::vector<Wave> take();

 private:
  bool fits(const Launch& launch, const std::vector<bool>& is_written) const;
  const bool may_join_;  // more threads than one
  std::vector<Wave> waves_;
  size_t count_ = 0;                    // launches
  bool is_open_ = false;                // the last wave takes more
  std::vector<Buffer> read_, written_;  // by the last wave
};

}  // namespace moai::cpu
