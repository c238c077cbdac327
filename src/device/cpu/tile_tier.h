// What the files of one instruction set offer each other. MOAI_TIER is base, v3 or v4.
#pragma once
#include "src/device/cpu/tile_step.h"

namespace moai::cpu::MOAI_TIER {

StepFn pointwise_f32(Prim op, unsigned mask);
StepFn pointwise_f64(Prim op, unsigned mask);
StepFn pointwise_i32(Prim op, unsigned mask);
StepFn pointwise_i64(Prim op, unsigned mask);
StepFn pointwise_boolean(Prim op, unsigned mask);

StepFn find_load(DType dtype);
StepFn find_store(DType dtype);
StepFn find_convert(TileType from, TileType to);
StepFn find_round(DType dtype);
StepFn find_splat(TileType type);
StepFn find_expand(TileType type);
StepFn find_iota(TileType type);
StepFn find_rng(TileType type);
StepFn find_reduce_row(ReduceKind kind, TileType type);
StepFn find_reduce_column(ReduceKind kind, TileType type);
StepFn find_mul_add(unsigned scalar_mask);

}  // namespace moai::cpu::MOAI_TIER
