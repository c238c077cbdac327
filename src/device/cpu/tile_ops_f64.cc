// Pointwise bodies on f64, for one instruction set.
#include "src/device/cpu/tile_pointwise.h"
#include "src/device/cpu/tile_tier.h"

namespace moai::cpu::MOAI_TIER {

StepFn pointwise_f64(Prim op, unsigned mask) { return find_pointwise<double>(op, mask); }

}  // namespace moai::cpu::MOAI_TIER
