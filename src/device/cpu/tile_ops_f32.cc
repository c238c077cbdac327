// Pointwise bodies on f32, for one instruction set.
#include "src/device/cpu/tile_pointwise.h"
#include "src/device/cpu/tile_tier.h"

namespace moai::cpu::MOAI_TIER {

StepFn pointwise_f32(Prim op, unsigned mask) { return find_pointwise<float>(op, mask); }

}  // namespace moai::cpu::MOAI_TIER
