// One argument of an operator as the hot path sees it: nothing is owned, nothing boxed.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/OptionalArrayRef.h>

#include <string_view>

#include "src/frontend/capture.h"

namespace moai::bridge {

struct Operand {
  enum class Kind : uint8_t { none, tensor, boolean, integer, real, integers, text, other };

  Operand() = default;
  Operand(const at::Tensor& t) : kind(t.defined() ? Kind::tensor : Kind::none), tensor(&t) {}
  Operand(bool v) : kind(Kind::boolean), integer(v) {}
  Operand(int64_t v) : kind(Kind::integer), integer(v) {}
  Operand(double v) : kind(Kind::real), real(v) {}
  Operand(at::ScalarType v) : kind(Kind::integer), integer(static_cast<int64_t>(v)) {}
  Operand(at::IntArrayRef v) : kind(Kind::integers), integers(v.data()), count(v.size()) {}
  Operand(c10::string_view v) : kind(Kind::text), text(v.data()), count(v.size()) {}
  Operand(const at::Scalar& s) {
    if (s.isSymbolic() || s.isComplex())
      kind = Kind::other;
    else if (s.isBoolean())
      *this = Operand(s.toBool());
    else if (s.isFloatingPoint())
      *this = Operand(s.toDouble());
    else
      *this = Operand(s.toLong());
  }
  Operand(const at::OptionalIntArrayRef& v) {
    if (v) *this = Operand(*v);
  }
  template <class T>
  Operand(const std::optional<T>& v) {
    if (v) *this = Operand(*v);
  }

  Kind kind = Kind::none;
  union {
    const at::Tensor* tensor = nullptr;
    int64_t integer;
    double real;
    const int64_t* integers;
    const char* text;
  };
  size_t count = 0;                      // of integers or characters
  frontend::Storage* storage = nullptr;  // of a device tensor, once it was looked up
};

// The value of a cpu tensor without dimensions.
Operand number_of(const at::Tensor& t);
// A lifted number.
void put_number(frontend::Recorder& r, const Operand& number);
c10::IValue boxed(const Operand& operand);

}  // namespace moai::bridge
