#include "src/device/cpu/tile_grid.h"

#include <algorithm>

namespace moai::cpu {
namespace {

constexpr int64_t kTile = 1024;         // elements: a few registers of it fit the first cache
constexpr int64_t kShortRow = 512;      // shorter rows share a tile
constexpr int64_t kTransposeTile = 32;  // rows and columns of a tile that is read across
constexpr int64_t kChunk = 16384;       // elements: about 10 us of work

struct Space {
  std::vector<int64_t> sizes;
  std::vector<std::vector<int64_t>> strides;  // by map, by dimension
};

void drop_dim(Space& s, size_t d) {
  s.sizes.erase(s.sizes.begin() + static_cast<std::ptrdiff_t>(d));
  for (auto& m : s.strides) m.erase(m.begin() + static_cast<std::ptrdiff_t>(d));
}

// Merges neighbours among dimensions [0, end) where every map runs on from one into the other.
void merge_dims(Space& s, size_t end) {
  for (size_t d = 0; d < end && end > 1;) {
    if (s.sizes[d] == 1) {
      drop_dim(s, d), end--;
      continue;
    }
    d++;
  }
  for (size_t d = 0; d + 1 < end;) {
    const bool fits = std::all_of(s.strides.begin(), s.strides.end(),
                                  [&](const auto& m) { return m[d] == m[d + 1] * s.sizes[d + 1]; });
    if (!fits) {
      d++;
      continue;
    }
    s.sizes[d + 1] *= s.sizes[d];
    drop_dim(s, d), end--;
  }
}

// At least 1 even for nothing: a reduce of nothing writes its identity.
int64_t parts(int64_t n, int64_t size) { return std::max<int64_t>(1, (n + size - 1) / size); }

bool is_transposed(const Space& s) {
  const size_t n = s.sizes.size();
  return n >= 2 && std::any_of(s.strides.begin(), s.strides.end(), [&](const auto& m) {
           return m[n - 1] != 0 && m[n - 1] != 1 && m[n - 2] == 1;
         });
}

void choose_tile(TileKind kind, const Space& s, TileGrid& g) {
  const bool short_row = g.len <= kShortRow;
  switch (kind) {
    case TileKind::pointwise:
      g.tile_len = short_row ? g.len : std::min(g.len, kTile);
      if (is_transposed(s)) g.tile_len = std::min(g.tile_len, kTransposeTile);
      break;
    case TileKind::row: g.tile_len = g.len <= kWholeRowMax ? g.len : kTile; break;
    case TileKind::column:
      g.tile_len = std::min(g.len, std::clamp<int64_t>(parts(g.len / 8, 64) * 64, 64, kTile));
      break;
  }
  g.tile_rows = 1;
  if (g.tile_len <= kShortRow && (kind != TileKind::row || short_row))
    g.tile_rows = std::clamp<int64_t>(kTile / std::max<int64_t>(g.tile_len, 1), 1,
                                      std::max<int64_t>(g.rows, 1));
}

}  // namespace

void choose_grid(TileKind kind, const Shape& space, const std::vector<AffineMap>& maps,
                 CompiledTile& out) {
  Space s;
  s.sizes.assign(space.begin(), space.end());
  if (s.sizes.empty()) s.sizes.push_back(1);
  for (const AffineMap& m : maps) {
    s.strides.emplace_back(m.strides.begin(), m.strides.end());
    s.strides.back().resize(s.sizes.size(), 0);
  }
  if (kind == TileKind::pointwise) merge_dims(s, s.sizes.size());
  if (kind == TileKind::row) merge_dims(s, s.sizes.size() - 1);
  const size_t n = s.sizes.size();
  TileGrid& g = out.grid;
  g.len = s.sizes[n - 1];
  g.rows = n > 1 ? s.sizes[n - 2] : 1;
  choose_tile(kind, s, g);
  g.tile_len = std::max<int64_t>(g.tile_len, 1);
  const bool long_row = kind == TileKind::row && g.tile_len < g.len;
  const bool is_column = kind == TileKind::column;

  const size_t outer = n > 2 ? n - 2 : 0;
  for (size_t d = 0; d < outer; d++) g.counts.push_back(s.sizes[d]);
  const int64_t row_blocks = parts(g.rows, g.tile_rows), col_parts = parts(g.len, g.tile_len);
  if (!is_column) g.row_dim = static_cast<int>(g.counts.size()), g.counts.push_back(row_blocks);
  if (!long_row) g.col_dim = static_cast<int>(g.counts.size()), g.counts.push_back(col_parts);
  g.loops = is_column ? row_blocks : long_row ? col_parts : 1;
  g.items = 1;
  for (int64_t c : g.counts) g.items *= c;
  const int64_t item_size = std::max<int64_t>(1, is_column  ? g.rows * g.tile_len
                                                 : long_row ? g.len
                                                            : g.tile_rows * g.tile_len);
  g.items_per_chunk = std::max<int64_t>(1, kChunk / item_size);
  const bool is_empty = kind == TileKind::pointwise && g.rows * g.len == 0;
  if (is_empty || (kind != TileKind::pointwise && !is_column && g.rows == 0) ||
      (is_column && g.len == 0))
    g.items = 0;
  g.chunks = (g.items + g.items_per_chunk - 1) / g.items_per_chunk;

  for (size_t m = 0; m < maps.size(); m++) {
    const std::vector<int64_t>& k = s.strides[m];
    const TileStride stride = {n > 1 ? k[n - 2] : 0, k[n - 1]};
    TileMap map;
    map.offset = maps[m].offset;
    map.element_bytes = maps[m].element_bytes;
    map.steps.assign(k.begin(), k.begin() + static_cast<std::ptrdiff_t>(outer));
    if (!is_column) map.steps.push_back(stride.row * g.tile_rows);
    if (!long_row) map.steps.push_back(stride.col * g.tile_len);
    map.loop_step = is_column ? stride.row * g.tile_rows : long_row ? stride.col * g.tile_len : 0;
    out.maps.push_back(std::move(map));
    out.strides.push_back(stride);
  }
}

}  // namespace moai::cpu
