// One instruction of a compiled tile program and what it runs on. Shared by the compiler (built
// once) and the bodies (built once per instruction set), so it holds plain data only.
#pragma once
#include <cstdint>

#include "moai/dtype.h"
#include "moai/op.h"
#include "moai/op_attrs.h"
#include "moai/tile_program.h"

namespace moai::cpu {

struct Step;
struct Tile;
using StepFn = void (*)(const Step&, Tile&);

// How many elements a value has: one for the whole program, one a row, one an element.
enum class Extent : uint8_t { uniform, row, full };

struct Step {
  StepFn fn = nullptr;
  uint16_t d = 0, a = 0, b = 0, c = 0;  // slots
  Extent extent = Extent::full;         // of d (of a for store and reduce)
  uint16_t map = 0;                     // load, store, iota, rng
  double f = 0;
  int64_t i = 0;
};

// Element steps of an index map inside a tile.
struct TileStride {
  int64_t row = 0, col = 0;
};

// What a thread works on: `rows` rows of `len` elements, or a part of one row.
struct Tile {
  char** slots = nullptr;               // value of each slot
  char* const* buffers = nullptr;       // by map, for maps that are buffers
  const TileStride* strides = nullptr;  // by map
  const int64_t* at = nullptr;          // by map: element index of the tile's first element
  int64_t rows = 1, len = 0;
  int64_t count[3] = {1, 1, 0};  // by Extent
  // Where the tile stands in what it reduces. row: elements of the row before it; column: rows
  // before it.
  int64_t reduced_at = 0, reduced_size = 0;
};

// The bodies of one instruction set. Every lookup returns nullptr for what does not exist.
struct TileOps {
  // scalar_mask: bit i says that operand i has one element.
  StepFn (*compute)(Prim op, TileType operand, unsigned scalar_mask);
  StepFn (*load)(DType dtype);   // into tile_type_of(dtype)
  StepFn (*store)(DType dtype);  // from tile_type_of(dtype)
  StepFn (*convert)(TileType from, TileType to);
  StepFn (*round)(DType dtype);
  StepFn (*splat)(TileType type);   // one element -> all
  StepFn (*expand)(TileType type);  // one element a row -> all
  StepFn (*iota)(TileType type);
  StepFn (*rng)(TileType type);  // f32, f64: uniform; i64: bits
  StepFn (*reduce_row)(ReduceKind kind, TileType type);
  StepFn (*reduce_column)(ReduceKind kind, TileType type);
  StepFn (*mul_add)(unsigned scalar_mask);  // f32: a * b, rounded, + c
};

// Sizes of a slot's element.
constexpr int bytes_of(TileType t) {
  return t == TileType::boolean ? 1 : t == TileType::f32 || t == TileType::i32 ? 4 : 8;
}

const TileOps& tile_ops_base();
const TileOps& tile_ops_v3();
const TileOps& tile_ops_v4();

}  // namespace moai::cpu
