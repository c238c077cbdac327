// TileProgram -> steps: shapes merged, tiles chosen, values given memory, bodies looked up. Done at
// load.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "moai/status.h"
#include "src/device/cpu/tile_step.h"

namespace moai::cpu {

// How the space is walked. Items are independent; an item is `loops` tiles one after the other.
struct TileGrid {
  std::vector<int64_t> counts;     // of items per dimension, outermost first
  int row_dim = -1, col_dim = -1;  // positions in counts of blocks of rows and parts of rows, or -1
  int64_t rows = 1, len = 1;       // of the whole space
  int64_t tile_rows = 1, tile_len = 1;
  int64_t loops = 1;  // row: parts of a long row; column: blocks of reduced rows
  int64_t items = 1, items_per_chunk = 1, chunks = 1;
};

struct TileMap {
  int64_t offset = 0;
  std::vector<int64_t> steps;  // per dimension of TileGrid::counts
  int64_t loop_step = 0;
  int element_bytes = 0;  // 0: not a buffer
};

struct TilePhase {
  std::vector<Step> steps;
  bool once = false;  // reads only what reduces left: one tile, not `loops`
};

struct CompiledTile {
  TileKind kind = TileKind::pointwise;
  TileGrid grid;
  std::vector<TileMap> maps;  // buffers first
  std::vector<TileStride> strides;
  size_t buffers = 0;
  std::vector<Step> prologue;  // what is the same everywhere: once a chunk
  std::vector<TilePhase> phases;
  std::vector<uint32_t> slot_at;                         // bytes into a thread's scratch
  std::vector<std::pair<uint32_t, uint64_t>> constants;  // bytes into scratch, value
  uint64_t scratch_bytes = 0;
};

// may_overlap(output, input): whether these two buffers may share bytes (then at equal index maps).
StatusOr<CompiledTile> compile_tile(const TileProgram& program, const TileOps& ops,
                                    const std::function<bool(int, int)>& may_overlap);

}  // namespace moai::cpu
