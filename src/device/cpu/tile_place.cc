// Memory of values: scratch that is used again, or the buffer itself where a tile is one run of
// memory.
#include <algorithm>
#include <utility>

#include "src/device/cpu/tile_compiler.h"

namespace moai::cpu {

uint32_t TileCompiler::bytes_of_value(int value) const {
  const TileValue& v = values_[static_cast<size_t>(value)];
  const int64_t n = v.extent == Extent::uniform ? 1
                    : v.extent == Extent::row   ? out_.grid.tile_rows
                                                : out_.grid.tile_rows * out_.grid.tile_len;
  // A cache line more, so that equal lines of two values do not share a cache set.
  return static_cast<uint32_t>((n * bytes_of(v.type) + 63) / 64 * 64 + 64);
}

uint32_t TileCompiler::take(uint32_t bytes) {
  if (auto it = free_.find(bytes); it != free_.end()) {
    const uint32_t at = it->second;
    free_.erase(it);
    return at;
  }
  const uint32_t at = top_;
  top_ += bytes;
  return at;
}
void TileCompiler::give(uint32_t at, uint32_t bytes) { free_.emplace(bytes, at); }

void TileCompiler::place(int value, bool keep) {
  const size_t v = static_cast<size_t>(value);
  if (slot_[v] != kNone) return;
  slot_[v] = static_cast<int>(place_.size());
  // What lives across tiles gets memory that no other value had: those run again before it dies.
  if (keep)
    place_.push_back(std::exchange(top_, top_ + bytes_of_value(value)));
  else
    place_.push_back(bound_map_[v] != kNone ? 0 : take(bytes_of_value(value)));
  kept_[v] = keep;
}

void TileCompiler::release_dead(const TileNode& op, size_t position) {
  int done = kNone;
  int before = kNone;
  for (int v : {op.a, op.b, op.c}) {
    if (v == kNone || v == done || v == before) continue;
    before = done, done = v;
    const size_t i = static_cast<size_t>(v);
    if (kept_[i] || bound_map_[i] != kNone || last_use_[i] != position || slot_[i] == kNone)
      continue;
    give(place_[static_cast<size_t>(slot_[i])], bytes_of_value(v));
  }
}

// Whether an operand's element is as large as the result's, so that element i is read before it is
// written.
bool TileCompiler::has_equal_sizes(const TileNode& op) const {
  const int size = bytes_of(values_[static_cast<size_t>(op.d)].type);
  for (int v : {op.a, op.b, op.c})
    if (v != kNone && bytes_of(values_[static_cast<size_t>(v)].type) != size) return false;
  return true;
}

// Whether a tile of the map is one run of memory.
bool TileCompiler::is_contiguous(int map) const {
  const TileStride s = out_.strides[static_cast<size_t>(map)];
  return s.col == 1 && (out_.grid.tile_rows == 1 || s.row == out_.grid.tile_len);
}

bool TileCompiler::reads_overlap(const TileNode& op, int output) const {
  const auto overlaps = [&](int map) {
    return map >= 0 && map < static_cast<int>(p_->buffers.size()) &&
           !p_->buffers[static_cast<size_t>(map)].is_output && may_overlap_(output, map);
  };
  if (op.inst.op == TileOp::load && overlaps(op.map)) return true;
  for (int v : {op.a, op.b, op.c})
    if (v != kNone && overlaps(bound_map_[static_cast<size_t>(v)])) return true;
  return false;
}

// A contiguous load needs no copy if nothing writes over it while it is used.
bool TileCompiler::binds_load(const TileNode& load, const std::vector<const TileNode*>& ops) const {
  const TileBuffer& b = p_->buffers[static_cast<size_t>(load.map)];
  if (load.extent != Extent::full || !is_contiguous(load.map) || b.dtype == DType::f16 ||
      b.dtype == DType::bf16 ||
      static_cast<int>(size_of(b.dtype)) != bytes_of(tile_type_of(b.dtype)))
    return false;
  const size_t last = last_use_[static_cast<size_t>(load.d)];
  // A store's value may be bound to the output from its definition on, so earlier writes count as
  // well.
  for (size_t i = 0; i < ops.size(); i++) {
    if (ops[i]->inst.op != TileOp::store || !may_overlap_(ops[i]->map, load.map)) continue;
    if (i < last) return false;
  }
  return true;
}

// The map of the output that the value defined at `at` may be written to directly, or kNone.
int TileCompiler::binds_store(const std::vector<const TileNode*>& ops, size_t at) const {
  const TileNode& def = *ops[at];
  if (def.extent != Extent::full || def.inst.op == TileOp::reduce) return kNone;
  for (size_t i = at + 1; i < ops.size(); i++) {
    const TileNode& s = *ops[i];
    if (s.inst.op != TileOp::store || s.a != def.d) continue;
    const DType dtype = p_->buffers[static_cast<size_t>(s.map)].dtype;
    if (!is_contiguous(s.map) || dtype == DType::f16 || dtype == DType::bf16 ||
        static_cast<int>(size_of(dtype)) != bytes_of(tile_type_of(dtype)))
      continue;
    bool is_safe = true;
    for (size_t k = at + 1; k < ops.size() && is_safe; k++)
      is_safe = !reads_overlap(*ops[k], s.map);
    if (is_safe) return s.map;
  }
  return kNone;
}

}  // namespace moai::cpu
