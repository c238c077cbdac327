// The compiler of tile programs, in three steps: registers become values (tile_read.cc), values get
// memory (tile_place.cc), instructions become steps (tile_emit.cc). Private to compile_tile().
#pragma once
#include <functional>
#include <map>
#include <vector>

#include "src/device/cpu/tile_compile.h"
#include "src/device/cpu/tile_grid.h"

namespace moai::cpu {

inline constexpr int kNone = -1;

// A value of the program in SSA form. Instructions that write a register twice make two values.
struct TileValue {
  TileType type = TileType::f32;
  Extent extent = Extent::uniform;
  int level = 0;  // how many reduces lie under it
};

// An instruction on values. `map` is an index into the affine maps.
struct TileNode {
  TileInst inst;
  int d = kNone, a = kNone, b = kNone, c = kNone;
  int map = kNone;
  Extent extent = Extent::full;
  int level = 0;
};

class TileCompiler {
 public:
  TileCompiler(const TileProgram& p, const TileOps& ops,
               const std::function<bool(int, int)>& may_overlap)
      : program_(p), ops_(ops), may_overlap_(may_overlap) {}

  StatusOr<CompiledTile> run();

 private:
  Status read_program();
  void read_reduce(TileNode& op);
  Status read_inst(const TileInst& inst);
  Status read_indexed(TileNode& op);
  void copy_bytes_only();
  Extent extent_of_map(int map) const;
  int add_value(TileType type, Extent extent, int level);
  int converted(int value, TileType type);
  Status check_inst(const TileInst& inst) const;

  void need(const TileNode& root, int phase, std::vector<char>& wanted) const;
  Status emit_phase(const std::vector<const TileNode*>& ops, TilePhase& phase);
  Status emit(const TileNode& op, std::vector<Step>& steps);
  Status prepare_compute(const TileNode& op, std::vector<Step>& steps);
  void emit_compute(const TileNode& op, std::vector<Step>& steps);
  int widened(int value, Extent extent, std::vector<Step>& steps);
  bool fuse_mul_add(const std::vector<const TileNode*>& ops, size_t i, std::vector<Step>& steps);

  // Memory of values.
  uint32_t bytes_of_value(int value) const;
  uint32_t take(uint32_t bytes);
  void give(uint32_t at, uint32_t bytes);
  void place(int value, bool keep);
  void release_dead(const TileNode& op, size_t position);
  bool has_equal_sizes(const TileNode& op) const;
  bool is_contiguous(int map) const;
  bool binds_load(const TileNode& load, const std::vector<const TileNode*>& ops) const;
  int binds_store(const std::vector<const TileNode*>& ops, size_t at) const;
  bool reads_overlap(const TileNode& op, int output) const;

  const TileProgram& program_;
  const TileOps& ops_;
  const std::function<bool(int, int)>& may_overlap_;
  TileProgram bytes_;  // stands in for program_ when it only moves bytes
  const TileProgram* p_ = &program_;

  std::vector<AffineMap> maps_;
  std::vector<TileValue> values_;
  std::vector<TileNode> code_;
  std::vector<int> current_;  // register -> value
  CompiledTile out_;

  std::vector<int> slot_;         // value -> slot, or kNone
  std::vector<uint32_t> place_;   // slot -> bytes into scratch
  std::vector<char> kept_;        // value -> lives across tiles
  std::vector<size_t> last_use_;  // value -> position in the phase
  std::vector<int> bound_map_;    // value -> map whose memory it is, or kNone
  struct Prepared {
    StepFn fn = nullptr;
    int operands[3] = {kNone, kNone, kNone};
    std::vector<int> temps;  // free once the step is emitted
  } prepared_;
  std::multimap<uint32_t, uint32_t> free_;
  uint32_t top_ = 0;
  bool in_prologue_ = false;
};

// The bytes of a constant instruction's value.
uint64_t constant_bits(const TileInst& inst);

// The slot of a value in a step; 0 where there is none.
inline uint16_t slot16(const std::vector<int>& slots, int value) {
  return value == kNone ? uint16_t{0} : static_cast<uint16_t>(slots[static_cast<size_t>(value)]);
}

}  // namespace moai::cpu
