// One argument of an operator as the hot path sees it.
#include "src/frontend/bridge/operand.h"

#include <string>

namespace moai::bridge {

Operand number_of(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kDouble: return *t.const_data_ptr<double>();
    case at::kFloat: return double{*t.const_data_ptr<float>()};
    case at::kLong: return *t.const_data_ptr<int64_t>();
    case at::kInt: return int64_t{*t.const_data_ptr<int32_t>()};
    case at::kBool: return *t.const_data_ptr<bool>();
    default: return t.item();
  }
}

void put_number(frontend::Recorder& r, const Operand& number) {
  if (number.kind == Operand::Kind::boolean) return r.scalar_bool(number.integer != 0);
  if (number.kind == Operand::Kind::integer) return r.scalar_int(number.integer);
  r.scalar_real(number.real);
}

c10::IValue boxed(const Operand& o) {
  switch (o.kind) {
    case Operand::Kind::tensor: return *o.tensor;
    case Operand::Kind::boolean: return o.integer != 0;
    case Operand::Kind::integer: return o.integer;
    case Operand::Kind::real: return o.real;
    case Operand::Kind::integers: return std::vector<int64_t>(o.integers, o.integers + o.count);
    case Operand::Kind::text: return std::string(o.text, o.count);
    case Operand::Kind::none:
    case Operand::Kind::other: break;
  }
  return {};
}

}  // namespace moai::bridge
