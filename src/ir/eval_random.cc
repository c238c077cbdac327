// Random numbers: element i draws word i, or words 2i and 2i + 1 where it needs more bits.
#include "moai/philox.h"
#include "src/ir/eval_call.h"

namespace moai::ir {

Status eval_random(const Call& c) {
  Tensor& out = *c.out[0];
  uint64_t seed = static_cast<uint64_t>(get_int(*c.in[0], 0));
  uint64_t offset = static_cast<uint64_t>(get_int(*c.in[1], 0));
  auto word = [&](int64_t w) { return random_word(seed, offset, static_cast<uint64_t>(w)); };
  for (int64_t i = 0; i < shape_of(out).numel(); i++) {
    switch (out.type.dtype) {
      case DType::i64: set_int(out, i, random_bits(word(2 * i), word(2 * i + 1))); break;
      case DType::f64: set_real(out, i, uniform_f64(word(2 * i), word(2 * i + 1))); break;
      case DType::f16: set_real(out, i, uniform_narrow(word(i), 11)); break;
      case DType::bf16: set_real(out, i, uniform_narrow(word(i), 8)); break;
      default: set_real(out, i, uniform_f32(word(i)));
    }
  }
  return ok_status();
}

}  // namespace moai::ir
