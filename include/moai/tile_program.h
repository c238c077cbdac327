// What codegen emits for a fused kernel and a device runs: data only.
//
// A tile program runs over an iteration space of up to kRankMax dimensions, one inner row (or tile
// of it) at a time. Registers hold a tile of values in a compute type; row scalars hold one value a
// row.
//   pointwise: every output element from the input elements at the same index (through index maps).
//   row:       the innermost dimension is a row; `reduce` turns a register into a row scalar, which
//   later
//              instructions read like a register (broadcast). Outputs with stride 0 on the inner
//              dimension receive row scalars.
//   column:    the space is [outer, reduced, inner]; every output is a reduce of a register over
//   the middle
//              dimension and has stride 0 on it.
// Sums: fixed by the shape alone, never by threads, ISA or tile. row: 64 lanes, lane l takes
// elements l, l+64, ... of the full 64-blocks, the tail goes to lanes 0, 1, ...; then halves are
// added, 32 down to 1. column: blocks of kColumnBlock rows in order, then the blocks in order.
#pragma once
#include <cstdint>
#include <vector>

#include "moai/dtype.h"
#include "moai/op.h"
#include "moai/op_attrs.h"
#include "moai/shape.h"

namespace moai {

// Type of a register. f16 and bf16 compute in f32 and i8, i16, u8 in i32: the emitter adds round
// instructions so that every op rounds to its dtype.
enum class TileType : uint8_t { f32, f64, i32, i64, boolean };

constexpr TileType tile_type_of(DType t) {
  switch (t) {
    case DType::f64: return TileType::f64;
    case DType::f32:
    case DType::f16:
    case DType::bf16: return TileType::f32;
    case DType::i64: return TileType::i64;
    case DType::boolean: return TileType::boolean;
    default: return TileType::i32;
  }
}

// A buffer's index map: element index = offset + sum(index[d] * strides[d]), in elements of dtype.
struct TileBuffer {
  DType dtype = DType::f32;
  bool is_output = false;
  int64_t offset = 0;
  Shape strides;  // one per dimension of the space; 0 broadcasts
  bool operator==(const TileBuffer&) const = default;
};

enum class TileOp : uint8_t {
  load,      // dst = buffer[imm_i], converted to its tile type
  store,     // buffer[imm_i] = a, converted to the buffer's dtype (float to int truncates)
  compute,   // dst = prim(a, b, c)
  constant,  // dst = imm_f or imm_i
  iota,      // dst = index along dimension imm_i of the space, in `type`
  convert,   // dst = a as `type` (from src_type)
  round,     // dst = a rounded to `dtype`: f16, bf16, i8, i16, u8 in their tile type
  rng,  // dst = uniform [0,1) (f32: 24 bits of one word; f64: 53 bits of two), key a, offset b are
        // i64 row scalars or tiles; element index = imm_i-th buffer-like map `index` (see
        // rng_index)
  rng_bits,  // dst (i64) = 64 bits
  reduce,    // row scalar (row) or accumulator (column) dst = reduce kind of a
};

struct TileInst {
  TileOp op = TileOp::compute;
  Prim prim = Prim::add;              // compute
  ReduceKind kind = ReduceKind::sum;  // reduce
  TileType type = TileType::f32;      // of the result; of `a` for store, comparisons and reduce
  TileType src_type =
      TileType::f32;         // of `a` for convert and for prims whose operands differ from type
  DType dtype = DType::f32;  // round
  int16_t dst = -1, a = -1, b = -1, c = -1;  // register numbers
  int64_t imm_i = 0;
  double imm_f = 0;
  bool operator==(const TileInst&) const = default;
};

enum class TileKind : uint8_t { pointwise, row, column };

inline constexpr int kTileBuffersMax = 32;
inline constexpr int kTileRegistersMax = 64;
inline constexpr int64_t kColumnBlock = 64;  // rows summed before blocks are combined

struct TileProgram {
  TileKind kind = TileKind::pointwise;
  Shape space;  // row-major; column: rank 3
  std::vector<TileBuffer> buffers;
  std::vector<TileInst> code;
  int registers = 0;
  // rng and rng_bits: maps from the space to the row-major element index of the random tensor.
  std::vector<TileBuffer> rng_maps;
  bool operator==(const TileProgram&) const = default;
};

}  // namespace moai
