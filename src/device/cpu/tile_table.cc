// The table of one instruction set's bodies.
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/tile_step.h"
#include "src/device/cpu/tile_tier.h"

namespace moai::cpu {
namespace MOAI_TIER {
namespace {

StepFn find_compute(Prim op, TileType operand, unsigned mask) {
  switch (operand) {
    case TileType::f32: return pointwise_f32(op, mask);
    case TileType::f64: return pointwise_f64(op, mask);
    case TileType::i32: return pointwise_i32(op, mask);
    case TileType::i64: return pointwise_i64(op, mask);
    case TileType::boolean: break;
  }
  return pointwise_boolean(op, mask);
}

template <unsigned kMask>
void mul_add(const Step& s, Tile& t) {
  const int64_t n = t.count[static_cast<int>(s.extent)];
  const float* a = reinterpret_cast<const float*>(t.slots[s.a]);
  const float* b = reinterpret_cast<const float*>(t.slots[s.b]);
  const float* c = reinterpret_cast<const float*>(t.slots[s.c]);
  float* d = reinterpret_cast<float*>(t.slots[s.d]);
  const float b0 = *b, c0 = *c;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) d[i] = a[i] * (kMask & 2 ? b0 : b[i]) + (kMask & 4 ? c0 : c[i]);
}

}  // namespace

StepFn find_mul_add(unsigned scalar_mask) {
  switch (scalar_mask) {
    case 0: return mul_add<0>;
    case 2: return mul_add<2>;
    case 4: return mul_add<4>;
    case 6: return mul_add<6>;
    default: return nullptr;
  }
}

}  // namespace MOAI_TIER

#define MOAI_TIER_FUNCTION_(tier) tile_ops_##tier
#define MOAI_TIER_FUNCTION(tier) MOAI_TIER_FUNCTION_(tier)
const TileOps& MOAI_TIER_FUNCTION(MOAI_TIER)() {
  using namespace MOAI_TIER;
  static constexpr TileOps kOps = {find_compute, find_load,       find_store,         find_convert,
                                   find_round,   find_splat,      find_expand,        find_iota,
                                   find_rng,     find_reduce_row, find_reduce_column, find_mul_add};
  return kOps;
}

}  // namespace moai::cpu
