// Merges the dimensions of a tile program's space and chooses its tiles, from the shape alone.
#pragma once
#include <vector>

#include "src/device/cpu/tile_compile.h"

namespace moai::cpu {

// An affine map over the space: a buffer, an iota or the numbering of a random tensor.
struct AffineMap {
  int64_t offset = 0;
  Shape strides;
  int element_bytes = 0;
};

// A row longer than this goes by in parts and is read once per reduction level.
inline constexpr int64_t kWholeRowMax = 16384;

// Fills grid, maps and strides of `out`.
void choose_grid(TileKind kind, const Shape& space, const std::vector<AffineMap>& maps,
                 CompiledTile& out);

}  // namespace moai::cpu
