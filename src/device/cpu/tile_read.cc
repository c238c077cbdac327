// Registers of a tile program become values in SSA form, each with a type, an extent and a level.
#include <algorithm>

#include "src/device/cpu/tile_compiler.h"

namespace moai::cpu {
namespace {

bool is_truth(Prim op) { return info(op).domain == Domain::truth; }

}  // namespace

// Narrow floats of a program that only moves elements travel as integers: no rounding, no NaN lost.
void TileCompiler::copy_bytes_only() {
  const bool moves =
      std::all_of(program_.code.begin(), program_.code.end(),
                  [&](const TileInst& i) { return i.op == TileOp::load || i.op == TileOp::store; });
  if (!moves) return;
  const auto same = [&](const TileBuffer& b) { return b.dtype == program_.buffers[0].dtype; };
  if (!std::all_of(program_.buffers.begin(), program_.buffers.end(), same)) return;
  bytes_ = program_;
  const auto raw = [](DType t) {
    switch (size_of(t)) {
      case 1: return DType::boolean;
      case 2: return DType::i16;
      case 4: return DType::i32;
      default: return t == DType::c128 ? t : DType::i64;
    }
  };
  for (TileBuffer& b : bytes_.buffers) b.dtype = raw(b.dtype);
  for (TileInst& i : bytes_.code) i.type = tile_type_of(raw(program_.buffers[0].dtype));
  p_ = &bytes_;
}

int TileCompiler::add_value(TileType type, Extent extent, int level) {
  values_.push_back({type, extent, level});
  return static_cast<int>(values_.size()) - 1;
}

// uniform: the same everywhere; row: the same along a row; full: differs along a row.
Extent TileCompiler::extent_of_map(int map) const {
  const TileMap& m = out_.maps[static_cast<size_t>(map)];
  const TileStride s = out_.strides[static_cast<size_t>(map)];
  if (s.col != 0) return Extent::full;
  if (s.row != 0 || m.loop_step != 0) return Extent::row;
  for (int64_t step : m.steps)
    if (step != 0) return Extent::row;
  return Extent::uniform;
}

int TileCompiler::converted(int value, TileType type) {
  const TileValue v = values_[static_cast<size_t>(value)];
  if (v.type == type) return value;
  TileNode op;
  op.inst.op = TileOp::convert;
  op.inst.type = type;
  op.a = value;
  op.extent = v.extent;
  op.level = v.level;
  op.d = add_value(type, v.extent, v.level);
  code_.push_back(op);
  return op.d;
}

Status TileCompiler::check_inst(const TileInst& i) const {
  const auto bad = [](const char* what) { return invalid(std::string("[tile program] ") + what); };
  const auto is_value = [&](int r) {
    return r >= 0 && r < static_cast<int>(current_.size()) &&
           current_[static_cast<size_t>(r)] != kNone;
  };
  if (i.op != TileOp::store && (i.dst < 0 || i.dst >= static_cast<int>(current_.size())))
    return bad("a result register is out of range");
  switch (i.op) {
    case TileOp::load:
    case TileOp::store:
      if (i.imm_i < 0 || i.imm_i >= static_cast<int64_t>(p_->buffers.size()))
        return bad("no such buffer");
      if (p_->buffers[static_cast<size_t>(i.imm_i)].is_output != (i.op == TileOp::store))
        return bad("a buffer is loaded and stored, or the wrong way round");
      if (i.op == TileOp::store && !is_value(i.a))
        return bad("store reads a register that nothing wrote");
      break;
    case TileOp::iota:
      if (i.imm_i < 0 || i.imm_i >= p_->space.rank()) return bad("iota names no dimension");
      break;
    case TileOp::rng:
    case TileOp::rng_bits:
      if (i.imm_i < 0 || i.imm_i >= static_cast<int64_t>(p_->rng_maps.size()))
        return bad("no such rng map");
      if (!is_value(i.a) || !is_value(i.b)) return bad("rng reads a register that nothing wrote");
      break;
    case TileOp::compute: {
      const int n = info(i.prim).operands;
      if (!is_pointwise(i.prim)) return bad("compute names a primitive that is not pointwise");
      if (!is_value(i.a) || (n > 1 && !is_value(i.b)) || (n > 2 && !is_value(i.c)))
        return bad("compute reads a register that nothing wrote");
      break;
    }
    case TileOp::convert:
    case TileOp::round:
    case TileOp::reduce:
      if (!is_value(i.a)) return bad("an instruction reads a register that nothing wrote");
      if (i.op == TileOp::reduce && p_->kind == TileKind::pointwise)
        return bad("pointwise programs reduce nothing");
      break;
    case TileOp::constant: break;
  }
  return ok_status();
}

// iota and random numbers: elements of a map that is no buffer.
Status TileCompiler::read_indexed(TileNode& op) {
  const bool is_iota = op.inst.op == TileOp::iota;
  // Maps follow the buffers: one for each rng map, then one for each dimension.
  op.map = static_cast<int>(p_->buffers.size() + (is_iota ? p_->rng_maps.size() : 0)) +
           static_cast<int>(op.inst.imm_i);
  op.extent = extent_of_map(op.map);
  if (is_iota) return ok_status();
  for (const auto& [r, operand] : {std::pair{op.inst.a, &op.a}, std::pair{op.inst.b, &op.b}}) {
    *operand = converted(current_[static_cast<size_t>(r)], TileType::i64);
    const TileValue& v = values_[static_cast<size_t>(*operand)];
    if (v.extent != Extent::uniform)
      return unimplemented(
          "[rng] a key or offset for each element is not supported; draw with one for all");
    op.level = std::max(op.level, v.level);
  }
  return ok_status();
}

// A register for the row or the column that the reduce makes, one level further.
void TileCompiler::read_reduce(TileNode& op) {
  op.extent = Extent::full;
  const TileType type = values_[static_cast<size_t>(op.a)].type;
  const Extent result = p_->kind == TileKind::row ? Extent::row : Extent::full;
  op.d = add_value(type, result, op.level + 1);
  code_.push_back(op);
  current_[static_cast<size_t>(op.inst.dst)] = op.d;
}

Status TileCompiler::read_inst(const TileInst& inst) {
  MOAI_RETURN_IF_ERROR(check_inst(inst));
  const auto value_of = [&](int r) { return r < 0 ? kNone : current_[static_cast<size_t>(r)]; };
  TileNode op;
  op.inst = inst;
  TileType type = inst.type;
  const auto use = [&](int r) {
    const int v = value_of(r);
    op.extent = std::max(op.extent, values_[static_cast<size_t>(v)].extent);
    op.level = std::max(op.level, values_[static_cast<size_t>(v)].level);
    return v;
  };
  op.extent = Extent::uniform;
  switch (inst.op) {
    case TileOp::load: {
      op.map = static_cast<int>(inst.imm_i);
      op.extent = extent_of_map(op.map);
      type = tile_type_of(p_->buffers[static_cast<size_t>(op.map)].dtype);
      break;
    }
    case TileOp::store: {
      op.map = static_cast<int>(inst.imm_i);
      op.a = converted(use(inst.a), tile_type_of(p_->buffers[static_cast<size_t>(op.map)].dtype));
      op.extent = std::max(op.extent, extent_of_map(op.map));
      code_.push_back(op);
      return ok_status();
    }
    case TileOp::constant: break;
    case TileOp::iota:
    case TileOp::rng:
    case TileOp::rng_bits: {
      MOAI_RETURN_IF_ERROR(read_indexed(op));
      if (inst.op == TileOp::rng_bits) type = TileType::i64;
      break;
    }
    case TileOp::compute: {
      const int n = info(inst.prim).operands;
      op.a = use(inst.a);
      if (n > 1) op.b = use(inst.b);
      if (n > 2) op.c = use(inst.c);
      const TileType operand =
          values_[static_cast<size_t>(inst.prim == Prim::select ? op.b : op.a)].type;
      type = is_truth(inst.prim) ? TileType::boolean : operand;
      break;
    }
    case TileOp::convert:
      current_[static_cast<size_t>(inst.dst)] = converted(value_of(inst.a), inst.type);
      return ok_status();
    case TileOp::round:
      op.a = use(inst.a);
      type = values_[static_cast<size_t>(op.a)].type;
      if (ops_.round(inst.dtype) == nullptr || tile_type_of(inst.dtype) != type) {
        current_[static_cast<size_t>(inst.dst)] = op.a;
        return ok_status();
      }
      break;
    case TileOp::reduce:
      op.a = use(inst.a);
      read_reduce(op);
      return ok_status();
  }
  op.d = add_value(type, op.extent, op.level);
  code_.push_back(op);
  current_[static_cast<size_t>(inst.dst)] =
      inst.op == TileOp::load ? converted(op.d, inst.type) : op.d;
  return ok_status();
}

Status TileCompiler::read_program() {
  if (program_.registers < 0 || program_.registers > 4096)
    return invalid("[tile program] too many registers");
  copy_bytes_only();
  const int rank = p_->space.rank();
  if (p_->kind == TileKind::column && rank != 3)
    return invalid("[tile program] column space is not of rank 3");
  if (p_->kind == TileKind::row && rank == 0)
    return invalid("[tile program] row space has no dimension");
  for (const TileBuffer& b : p_->buffers) {
    if (b.strides.rank() != rank)
      return invalid("[tile program] a buffer's strides do not fit the space");
    if (ops_.load(b.dtype) == nullptr)
      return unimplemented(std::string("[tile program] elements of ") + moai::name_of(b.dtype) +
                           " are not supported; bitcast them to pairs of floats");
    maps_.push_back({b.offset, b.strides, static_cast<int>(size_of(b.dtype))});
  }
  for (const TileBuffer& b : p_->rng_maps) maps_.push_back({b.offset, b.strides, 0});
  bool has_iota = false;
  for (const TileInst& i : p_->code) has_iota |= i.op == TileOp::iota;
  for (int d = 0; has_iota && d < rank; d++) {
    AffineMap m = {0, Shape::filled(rank, 0), 0};
    m.strides[d] = 1;
    maps_.push_back(m);
  }
  out_.kind = p_->kind;
  out_.buffers = p_->buffers.size();
  choose_grid(p_->kind, p_->space, maps_, out_);
  current_.assign(static_cast<size_t>(p_->registers), kNone);
  for (const TileInst& i : p_->code) MOAI_RETURN_IF_ERROR(read_inst(i));
  return ok_status();
}

}  // namespace moai::cpu
