// Turns bytes into a segment that wire::verify() accepts: known op names, arguments of any kind in
// any order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/lower/lower.h"
#include "tests/support/segment_builder.h"

namespace moai::testing {

class RandomSegment {
 public:
  // large: the size of a quarter of all dimensions. The same bytes make the same choices with
  // another.
  explicit RandomSegment(std::span<const uint8_t> bytes, int64_t large = 3)
      : bytes_(bytes), large_(large) {}

  wire::Segment make() {
    static const std::vector<lower::SupportedOp> kOps = lower::supported_ops();
    const int ops = 1 + pick(4);
    for (int i = 0; i < ops; i++) add_op(kOps[static_cast<size_t>(pick16() % kOps.size())].name);
    return b_.segment();
  }

 private:
  int pick(int n) {
    if (at_ >= bytes_.size()) return 0;
    return bytes_[at_++] % n;
  }
  size_t pick16() { return static_cast<size_t>(pick(256)) << 8 | static_cast<size_t>(pick(256)); }
  int64_t number() {
    constexpr int64_t kOdd[] = {
        -1, 0, 1, 2, 3, 7, -3, INT32_MAX, -(int64_t{1} << 54), int64_t{1} << 54};
    return kOdd[pick(10)];
  }

  // A new tensor, or a view of the storage of an earlier one.
  TensorArg tensor() {
    if (!tensors_.empty() && pick(3))
      return tensors_[static_cast<size_t>(pick(256)) % tensors_.size()];
    constexpr DType kMost[] = {DType::f32, DType::f32, DType::i64, DType::bf16};
    const DType t = pick(3) ? kMost[pick(4)] : static_cast<DType>(pick(kDTypeCount));
    Shape sizes;
    for (int i = pick(5); i > 0; i--) {
      const int size = pick(4);
      sizes.push_back(size == 3 ? large_ : size);
    }
    TensorArg made = pick(2) ? b_.input(t, sizes) : b_.fresh(t, sizes);
    if (pick(4) == 0 && sizes.rank() > 1) {
      Shape strides = contiguous_strides(sizes);
      std::swap(sizes[0], sizes[1]);
      std::swap(strides[0], strides[1]);
      if (pick(3) == 0) strides[0] = 0;
      made = b_.view(made, sizes, strides, 0);
    }
    tensors_.push_back(made);
    return made;
  }
  std::vector<std::optional<TensorArg>> list() {
    std::vector<std::optional<TensorArg>> l;
    for (int i = pick(4); i > 0; i--) {
      if (pick(8))
        l.push_back(tensor());
      else
        l.push_back(std::nullopt);
    }
    return l;
  }
  void add_argument(SegmentBuilder::Op& op) {
    constexpr const char* kTexts[] = {"tanh", "none", "floor", "trunc",
                                      "sum",  "mean", "amax",  "right"};
    switch (pick(12)) {
      case 0: op.none(); break;
      case 1: op.integer(number()); break;
      case 2: op.scalar(static_cast<double>(number()) / 4); break;
      case 3: op.scalar_int(number()); break;
      case 4: op.integers(std::vector<int64_t>(static_cast<size_t>(pick(10)), number())); break;
      case 5: op.tensors(list()); break;
      case 6: op.real(static_cast<double>(number()) / 2); break;
      case 7: op.text(kTexts[pick(8)]); break;
      case 8: op.rng(3, 4); break;
      default: op.tensor(tensor());
    }
  }
  void add_op(const std::string& name) {
    auto op = b_.op(name);
    for (int i = pick(7); i > 0; i--) add_argument(op);
    op.out(list());
  }

  std::span<const uint8_t> bytes_;
  int64_t large_;
  size_t at_ = 0;
  SegmentBuilder b_;
  std::vector<TensorArg> tensors_;
};

}  // namespace moai::testing
