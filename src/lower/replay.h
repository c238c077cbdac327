// The storages of a segment while it is replayed: each write makes a new version of a storage's
// contents.
#pragma once
#include <string_view>
#include <utility>
#include <vector>

#include "src/lower/views.h"
#include "src/wire/reader.h"

namespace moai::lower {

class Replay {
 public:
  Replay(const wire::Segment& segment, ir::Builder& builder);

  ir::Builder& builder() { return b_; }
  ir::ValueId read(const wire::TensorArg& tensor);
  // Requires: value has the view's sizes and dtype.
  void write(const wire::TensorArg& tensor, ir::ValueId value);
  // The lifted value `index` as graph input: f64 where is_real, else i64. One input per index.
  ir::ValueId scalar_input(uint32_t index, bool is_real);
  // Makes the live slots that were written, and every live fresh one, outputs of the graph.
  void set_outputs(std::span<const uint32_t> live_out);

 private:
  struct Storage {
    Contents contents;
    bool is_known = false;  // contents are set
    bool is_written = false;
    std::vector<std::pair<uint32_t, ir::ValueId>> reads;  // views of the current version
  };

  // Contents in the view's dtype, made on first touch: a bound slot's input or a fresh slot's
  // zeros. nullptr: refused, and the builder has failed.
  Contents* touch(uint32_t slot, DType dtype);
  bool check(const wire::View& view);

  const wire::Segment& segment_;
  ir::Builder& b_;
  std::vector<Storage> storages_;
  std::vector<ir::ValueId> scalars_;
};

}  // namespace moai::lower
