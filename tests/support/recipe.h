// A graph under construction, in the words of a test.
#pragma once
#include "src/ir/build.h"

namespace moai::test {

// Inputs are flat storages seen in a shape; slots are counted up.
struct Recipe {
  ir::Graph g;
  ir::Builder b{g};
  uint32_t slots = 0;
  using ValueId = ir::ValueId;

  ValueId input(const Shape& shape, DType dtype = DType::f32) {
    ValueId v = g.add_input(ir::Input::Kind::storage, slots++, {dtype, Shape{shape.numel()}});
    return b.reshape(v, shape);
  }
  ValueId real(uint32_t index) {
    return g.add_input(ir::Input::Kind::scalar_real, index, {DType::f64, {}});
  }
  void output(ValueId v) { g.set_output(slots++, v); }
  ValueId full(double v, ValueId like) {
    return b.broadcast_to(b.constant(v, b.dtype(like)), b.shape(like));
  }
  ValueId add(ValueId x, ValueId y) { return b.binary(Prim::add, x, y); }
  ValueId sub(ValueId x, ValueId y) { return b.binary(Prim::sub, x, y); }
  ValueId mul(ValueId x, ValueId y) { return b.binary(Prim::mul, x, y); }
  ValueId div(ValueId x, ValueId y) { return b.binary(Prim::div, x, y); }
  ValueId times(ValueId x, double f) { return mul(x, full(f, x)); }
  ValueId like(ValueId x, ValueId y) { return b.broadcast_to(x, b.shape(y)); }
};

}  // namespace moai::test
