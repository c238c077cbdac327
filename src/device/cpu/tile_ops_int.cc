// Pointwise bodies on integers and booleans, for one instruction set.
#include "src/device/cpu/tile_pointwise.h"
#include "src/device/cpu/tile_tier.h"

namespace moai::cpu::MOAI_TIER {

StepFn pointwise_i32(Prim op, unsigned mask) { return find_pointwise<int32_t>(op, mask); }
StepFn pointwise_i64(Prim op, unsigned mask) { return find_pointwise<int64_t>(op, mask); }

// Integer primitives on booleans are the bitwise three: the others would leave 0 and 1.
StepFn pointwise_boolean(Prim op, unsigned mask) {
  if (info(op).domain == Domain::integer && op != Prim::bit_and && op != Prim::bit_or &&
      op != Prim::bit_xor)
    return nullptr;
  return find_pointwise<uint8_t>(op, mask);
}

}  // namespace moai::cpu::MOAI_TIER
