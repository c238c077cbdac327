// Runs compiled tile programs over the thread pool.
#include <algorithm>
#include <cstring>
#include <functional>

#include "src/device/cpu/kernel.h"
#include "src/device/cpu/tile_compile.h"

namespace moai::cpu {
namespace {

constexpr size_t kMapsMax = 64;
constexpr size_t kSlotsMax = 1024;

class TileKernel : public Kernel {
 public:
  explicit TileKernel(CompiledTile code) : code_(std::move(code)) {
    thread_scratch_ = code_.scratch_bytes;
  }

  Status run(std::span<char* const> buffers, RunContext& context) override {
    context.pool.run(code_.grid.chunks, [&](int64_t chunk, int thread) {
      run_chunk(chunk, buffers.data(), context.scratch[thread]);
    });
    return ok_status();
  }

  int64_t chunks() const override { return code_.grid.chunks; }

  void run_chunk(int64_t chunk, char* const* buffers, char* scratch) const override {
    char* slots[kSlotsMax];
    int64_t at[kMapsMax];
    for (size_t i = 0; i < code_.slot_at.size(); i++) slots[i] = scratch + code_.slot_at[i];
    for (const auto& [where, value] : code_.constants)
      std::memcpy(scratch + where, &value, sizeof value);
    Tile t;
    t.slots = slots, t.buffers = buffers, t.strides = code_.strides.data(), t.at = at;
    for (size_t m = 0; m < code_.maps.size(); m++) at[m] = code_.maps[m].offset;
    for (const Step& s : code_.prologue) s.fn(s, t);
    const TileGrid& g = code_.grid;
    const int64_t last = std::min(g.items, (chunk + 1) * g.items_per_chunk);
    for (int64_t item = chunk * g.items_per_chunk; item < last; item++) run_item(item, at, t);
  }

 private:
  void run_item(int64_t item, int64_t* at, Tile& t) const {
    const TileGrid& g = code_.grid;
    int64_t index[kRankMax + 2];
    for (size_t d = g.counts.size(); d-- > 0;) index[d] = item % g.counts[d], item /= g.counts[d];
    int64_t first[kMapsMax];
    for (size_t m = 0; m < code_.maps.size(); m++) {
      const TileMap& map = code_.maps[m];
      int64_t x = map.offset;
      for (size_t d = 0; d < g.counts.size(); d++) x += index[d] * map.steps[d];
      at[m] = first[m] = x;
    }
    if (g.row_dim >= 0) t.rows = std::min(g.tile_rows, g.rows - index[g.row_dim] * g.tile_rows);
    if (g.col_dim >= 0) t.len = std::min(g.tile_len, g.len - index[g.col_dim] * g.tile_len);
    t.reduced_size = code_.kind == TileKind::column ? g.rows : g.len;
    t.reduced_at = 0;
    if (g.loops == 1 && code_.kind != TileKind::column) {
      set_counts(t);
      for (const TilePhase& phase : code_.phases)
        for (const Step& s : phase.steps) s.fn(s, t);
      return;
    }
    for (const TilePhase& phase : code_.phases) {
      for (int64_t loop = 0; loop < (phase.once ? 1 : g.loops); loop++) {
        for (size_t m = 0; m < code_.maps.size(); m++)
          at[m] = first[m] + loop * code_.maps[m].loop_step;
        place_loop(phase, loop, t);
        for (const Step& s : phase.steps) s.fn(s, t);
      }
    }
  }

  void place_loop(const TilePhase& phase, int64_t loop, Tile& t) const {
    const TileGrid& g = code_.grid;
    if (code_.kind == TileKind::column) {
      t.reduced_at = loop * g.tile_rows;
      t.rows = phase.once ? 1 : std::min(g.tile_rows, g.rows - t.reduced_at);
    } else {
      t.reduced_at = loop * g.tile_len;
      t.rows = 1;
      t.len = std::min(g.tile_len, g.len - t.reduced_at);
    }
    set_counts(t);
  }

  static void set_counts(Tile& t) {
    t.count[static_cast<int>(Extent::uniform)] = 1;
    t.count[static_cast<int>(Extent::row)] = t.rows;
    t.count[static_cast<int>(Extent::full)] = t.rows * t.len;
  }

  const CompiledTile code_;
};

}  // namespace

StatusOr<std::unique_ptr<Kernel>> make_tile_kernel(const TileProgram& program, const Target& target,
                                                   const Overlaps& overlaps) {
  MOAI_ASSIGN_OR_RETURN(CompiledTile code, compile_tile(program, *target.tiles, overlaps));
  if (code.maps.size() > kMapsMax || code.slot_at.size() > kSlotsMax)
    return unimplemented("[tile program] " + std::to_string(code.slot_at.size()) + " values and " +
                         std::to_string(code.maps.size()) +
                         " buffers are too many, the limits are " + std::to_string(kSlotsMax) +
                         " and " + std::to_string(kMapsMax) + "; fuse less");
  return std::unique_ptr<Kernel>(new TileKernel(std::move(code)));
}

}  // namespace moai::cpu
