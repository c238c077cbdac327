// Integers that remember an overflow: sizes come from untrusted text.
#pragma once
#include <cstdint>

namespace moai::ir {

class Checked {
 public:
  Checked(int64_t v) : value_(v) {}  // NOLINT: mixes with plain integers
  bool ok() const { return ok_; }
  // Requires: ok().
  int64_t value() const { return value_; }
  Checked operator+(Checked o) const {
    Checked r(0);
    r.ok_ = !__builtin_add_overflow(value_, o.value_, &r.value_) && ok_ && o.ok_;
    return r;
  }
  Checked operator-(Checked o) const {
    Checked r(0);
    r.ok_ = !__builtin_sub_overflow(value_, o.value_, &r.value_) && ok_ && o.ok_;
    return r;
  }
  Checked operator*(Checked o) const {
    Checked r(0);
    r.ok_ = !__builtin_mul_overflow(value_, o.value_, &r.value_) && ok_ && o.ok_;
    return r;
  }

 private:
  int64_t value_;
  bool ok_ = true;
};

}  // namespace moai::ir
