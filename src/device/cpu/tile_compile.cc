#include "src/device/cpu/tile_compile.h"

#include <algorithm>

#include "src/device/cpu/tile_compiler.h"

namespace moai::cpu {

// What a root needs, stopping at values that an earlier phase left.
void TileCompiler::need(const TileNode& root, int phase, std::vector<char>& wanted) const {
  std::vector<int> open = {root.a, root.b, root.c};
  std::vector<int> def(values_.size(), kNone);
  for (size_t i = 0; i < code_.size(); i++)
    if (code_[i].d != kNone) def[static_cast<size_t>(code_[i].d)] = static_cast<int>(i);
  while (!open.empty()) {
    const int v = open.back();
    open.pop_back();
    if (v == kNone) continue;
    const size_t i = static_cast<size_t>(def[static_cast<size_t>(v)]);
    const TileNode& op = code_[i];
    if (wanted[i] || kept_[static_cast<size_t>(v)]) continue;
    if (op.inst.op == TileOp::reduce && values_[static_cast<size_t>(v)].level <= phase) continue;
    wanted[i] = 1;
    open.insert(open.end(), {op.a, op.b, op.c});
  }
}

StatusOr<CompiledTile> TileCompiler::run() {
  MOAI_RETURN_IF_ERROR(read_program());
  slot_.assign(values_.size(), kNone);
  kept_.assign(values_.size(), 0);
  bound_map_.assign(values_.size(), kNone);
  last_use_.assign(values_.size(), 0);

  // What is the same for all elements is computed once a chunk; constants are written once a
  // thread.
  in_prologue_ = true;
  std::vector<char> in_prologue(code_.size(), 0);
  for (size_t i = 0; i < code_.size(); i++) {
    const TileNode& op = code_[i];
    if (op.d == kNone || op.extent != Extent::uniform || op.level > 0 ||
        op.inst.op == TileOp::reduce)
      continue;
    place(op.d, true);
    in_prologue[i] = 1;
    if (op.inst.op == TileOp::constant) {
      out_.constants.emplace_back(place_[static_cast<size_t>(slot_[static_cast<size_t>(op.d)])],
                                  constant_bits(op.inst));
      continue;
    }
    if (op.inst.op == TileOp::compute) MOAI_RETURN_IF_ERROR(prepare_compute(op, out_.prologue));
    MOAI_RETURN_IF_ERROR(emit(op, out_.prologue));
  }
  in_prologue_ = false;

  const bool is_split = out_.kind == TileKind::column || out_.grid.loops > 1;
  int levels = 0;
  for (const TileNode& op : code_) levels = std::max(levels, op.level);
  for (int phase = 0; phase <= (is_split ? levels : 0); phase++) {
    std::vector<char> wanted(code_.size(), 0);
    for (size_t i = 0; i < code_.size(); i++) {
      const TileNode& op = code_[i];
      const bool is_root = op.inst.op == TileOp::store || op.inst.op == TileOp::reduce;
      if (!is_root || (is_split && op.level != phase)) continue;
      wanted[i] = 1;
      need(op, is_split ? phase : -1, wanted);
    }
    std::vector<const TileNode*> ops;
    for (size_t i = 0; i < code_.size(); i++)
      if (wanted[i] && !in_prologue[i]) ops.push_back(&code_[i]);
    if (ops.empty()) continue;
    TilePhase out;
    MOAI_RETURN_IF_ERROR(emit_phase(ops, out));
    out_.phases.push_back(std::move(out));
  }
  out_.slot_at = place_;
  out_.scratch_bytes = top_;
  return std::move(out_);
}

StatusOr<CompiledTile> compile_tile(const TileProgram& program, const TileOps& ops,
                                    const std::function<bool(int, int)>& may_overlap) {
  return TileCompiler(program, ops, may_overlap).run();
}

}  // namespace moai::cpu
