// Instructions become steps: a body for the operands' types and extents, and the slots it works on.
#include <algorithm>
#include <bit>
#include <cstring>

#include "src/device/cpu/tile_compiler.h"

namespace moai::cpu {

namespace {

// Binds a slot to a buffer's memory at the tile.
void bind(const Step& s, Tile& t) { t.slots[s.d] = t.buffers[s.map] + t.at[s.map] * s.i; }

}  // namespace

// The value with one element for each of `extent`.
int TileCompiler::widened(int value, Extent extent, std::vector<Step>& steps) {
  const TileValue v = values_[static_cast<size_t>(value)];
  if (v.extent == extent) return value;
  const bool by_row = v.extent == Extent::row && extent == Extent::full && out_.grid.tile_rows > 1;
  const int d = add_value(v.type, extent, v.level);
  slot_.push_back(kNone), kept_.push_back(0), bound_map_.push_back(kNone), last_use_.push_back(0);
  place(d, in_prologue_);
  Step s;
  s.fn = by_row ? ops_.expand(v.type) : ops_.splat(v.type);
  s.d = slot16(slot_, d), s.a = slot16(slot_, value);
  s.extent = extent;
  steps.push_back(s);
  return d;
}

// Operands as the body takes them: one element where the body can, else widened. Before the result
// gets its memory, which may be that of an operand.
Status TileCompiler::prepare_compute(const TileNode& op, std::vector<Step>& steps) {
  const int operands[3] = {op.a, op.b, op.c};
  prepared_ = {};
  unsigned mask = 0;
  for (unsigned i = 0; i < 3; i++) {
    int v = operands[i];
    if (v != kNone) {
      const Extent e = values_[static_cast<size_t>(v)].extent;
      if (e == Extent::row && op.extent == Extent::full && out_.grid.tile_rows > 1) {
        v = widened(v, op.extent, steps);
        prepared_.temps.push_back(v);
      } else if (e != op.extent) {
        mask |= 1u << i;
      }
    }
    prepared_.operands[i] = v;
  }
  const TileType type =
      values_[static_cast<size_t>(op.inst.prim == Prim::select ? op.b : op.a)].type;
  // The body that takes the most one-element operands as they are.
  unsigned best = 0;
  for (unsigned m = mask; m != 0; m = (m - 1) & mask)
    if (std::popcount(m) > std::popcount(best) && ops_.compute(op.inst.prim, type, m) != nullptr)
      best = m;
  for (unsigned i = 0; i < 3; i++) {
    if (!((mask & ~best) >> i & 1)) continue;
    prepared_.operands[i] = widened(prepared_.operands[i], op.extent, steps);
    prepared_.temps.push_back(prepared_.operands[i]);
  }
  prepared_.fn = ops_.compute(op.inst.prim, type, best);
  if (prepared_.fn == nullptr)
    return unimplemented("[" + std::string(info(op.inst.prim).name) +
                         "] the operands' element type is not supported; cast to float32 first");
  return ok_status();
}

void TileCompiler::emit_compute(const TileNode& op, std::vector<Step>& steps) {
  Step s;
  s.fn = prepared_.fn;
  s.d = slot16(slot_, op.d);
  s.a = slot16(slot_, prepared_.operands[0]), s.b = slot16(slot_, prepared_.operands[1]);
  s.c = slot16(slot_, prepared_.operands[2]);
  s.extent = op.extent;
  steps.push_back(s);
  if (in_prologue_) return;
  for (int t : prepared_.temps)
    give(place_[static_cast<size_t>(slot_[static_cast<size_t>(t)])], bytes_of_value(t));
}

Status TileCompiler::emit(const TileNode& op, std::vector<Step>& steps) {
  if (op.inst.op == TileOp::compute) return emit_compute(op, steps), ok_status();
  Step s;
  s.extent = op.extent;
  s.d = slot16(slot_, op.d), s.a = slot16(slot_, op.a), s.b = slot16(slot_, op.b);
  s.map = static_cast<uint16_t>(std::max(op.map, 0));
  switch (op.inst.op) {
    case TileOp::load:
      s.fn = ops_.load(p_->buffers[static_cast<size_t>(op.map)].dtype);
      if (bound_map_[static_cast<size_t>(op.d)] == op.map)
        s.fn = bind,
        s.i = static_cast<int64_t>(size_of(p_->buffers[static_cast<size_t>(op.map)].dtype));
      break;
    case TileOp::store: {
      if (bound_map_[static_cast<size_t>(op.a)] == op.map) return ok_status();
      const int a = widened(op.a, op.extent, steps);
      s.a = slot16(slot_, a);
      s.fn = ops_.store(p_->buffers[static_cast<size_t>(op.map)].dtype);
      if (a != op.a)
        give(place_[static_cast<size_t>(slot_[static_cast<size_t>(a)])], bytes_of_value(a));
      break;
    }
    case TileOp::convert:
      s.fn = ops_.convert(values_[static_cast<size_t>(op.a)].type,
                          values_[static_cast<size_t>(op.d)].type);
      break;
    case TileOp::round: s.fn = ops_.round(op.inst.dtype); break;
    case TileOp::iota: s.fn = ops_.iota(op.inst.type); break;
    case TileOp::rng:
    case TileOp::rng_bits:
      s.fn = ops_.rng(values_[static_cast<size_t>(op.d)].type);
      s.i = op.inst.dtype == DType::f16 ? 11 : op.inst.dtype == DType::bf16 ? 8 : 24;
      break;
    case TileOp::reduce: {
      const int a = widened(op.a, Extent::full, steps);
      const TileType type = values_[static_cast<size_t>(a)].type;
      s.a = slot16(slot_, a);
      s.fn =
          (out_.kind == TileKind::row ? ops_.reduce_row : ops_.reduce_column)(op.inst.kind, type);
      // Lanes of a long row, or a block's partial sums: memory of its own across tiles.
      s.c = static_cast<uint16_t>(place_.size());
      place_.push_back(top_);
      top_ += std::max<uint32_t>(bytes_of_value(a), 64 * 8 + 64);
      if (a != op.a)
        give(place_[static_cast<size_t>(slot_[static_cast<size_t>(a)])], bytes_of_value(a));
      break;
    }
    case TileOp::constant:
    case TileOp::compute: break;
  }
  if (s.fn == nullptr)
    return unimplemented(
        "[tile program] an instruction's element type is not supported; cast to float32 first");
  steps.push_back(s);
  return ok_status();
}

uint64_t constant_bits(const TileInst& i) {
  uint64_t bits = 0;
  const float f = static_cast<float>(i.imm_f);
  const int32_t n = static_cast<int32_t>(i.imm_i);
  const uint8_t t = i.imm_i != 0;
  switch (i.type) {
    case TileType::f32: std::memcpy(&bits, &f, 4); break;
    case TileType::f64: std::memcpy(&bits, &i.imm_f, 8); break;
    case TileType::i32: std::memcpy(&bits, &n, 4); break;
    case TileType::i64: std::memcpy(&bits, &i.imm_i, 8); break;
    case TileType::boolean: std::memcpy(&bits, &t, 1); break;
  }
  return bits;
}

// mul whose only use is the add after it: one pass, the same two roundings.
bool TileCompiler::fuse_mul_add(const std::vector<const TileNode*>& ops, size_t i,
                                std::vector<Step>& steps) {
  if (i + 1 >= ops.size()) return false;
  const TileNode &mul = *ops[i], &add = *ops[i + 1];
  const auto is = [](const TileNode& op, Prim p) {
    return op.inst.op == TileOp::compute && op.inst.prim == p;
  };
  if (!is(mul, Prim::mul) || !is(add, Prim::add) ||
      values_[static_cast<size_t>(mul.d)].type != TileType::f32)
    return false;
  if (last_use_[static_cast<size_t>(mul.d)] != i + 1 || kept_[static_cast<size_t>(mul.d)])
    return false;
  if ((add.a == mul.d) == (add.b == mul.d)) return false;
  if (mul.extent != Extent::full || add.extent != Extent::full) return false;
  int a = mul.a, b = mul.b, c = add.a == mul.d ? add.b : add.a;
  const auto extent = [&](int v) { return values_[static_cast<size_t>(v)].extent; };
  if (extent(a) != Extent::full) std::swap(a, b);
  const auto is_scalar = [&](int v) {
    return extent(v) == Extent::uniform || (extent(v) == Extent::row && out_.grid.tile_rows == 1);
  };
  if (extent(a) != Extent::full || (extent(b) != Extent::full && !is_scalar(b)) ||
      (extent(c) != Extent::full && !is_scalar(c)))
    return false;
  const int output = binds_store(ops, i + 1);
  Step s;
  if (output != kNone) {
    bound_map_[static_cast<size_t>(add.d)] = output;
    place(add.d, false);
    Step to;
    to.fn = bind, to.d = slot16(slot_, add.d), to.map = static_cast<uint16_t>(output);
    to.i = bytes_of(values_[static_cast<size_t>(add.d)].type);
    steps.push_back(to);
  } else {
    release_dead(mul, i), release_dead(add, i + 1);
    place(add.d, false);
  }
  s.fn =
      ops_.mul_add((extent(b) != Extent::full ? 2u : 0u) | (extent(c) != Extent::full ? 4u : 0u));
  s.d = slot16(slot_, add.d), s.a = slot16(slot_, a), s.b = slot16(slot_, b),
  s.c = slot16(slot_, c);
  s.extent = Extent::full;
  steps.push_back(s);
  if (output != kNone) release_dead(mul, i), release_dead(add, i + 1);
  return true;
}

Status TileCompiler::emit_phase(const std::vector<const TileNode*>& ops, TilePhase& phase) {
  for (size_t i = 0; i < values_.size(); i++)
    if (!kept_[i]) slot_[i] = kNone, bound_map_[i] = kNone;
  for (size_t i = 0; i < ops.size(); i++)
    for (int v : {ops[i]->a, ops[i]->b, ops[i]->c, ops[i]->d})
      if (v != kNone) last_use_[static_cast<size_t>(v)] = i;
  for (size_t i = 0; i < ops.size(); i++) {
    const TileNode& op = *ops[i];
    if (fuse_mul_add(ops, i, phase.steps)) {
      i++;
      continue;
    }
    const bool is_elementwise = op.inst.op == TileOp::compute || op.inst.op == TileOp::convert ||
                                op.inst.op == TileOp::round;
    bool released = false;
    if (op.inst.op == TileOp::compute) MOAI_RETURN_IF_ERROR(prepare_compute(op, phase.steps));
    if (op.d != kNone && slot_[static_cast<size_t>(op.d)] == kNone) {
      const size_t d = static_cast<size_t>(op.d);
      if (op.inst.op == TileOp::load && binds_load(op, ops)) {
        bound_map_[d] = op.map;
      } else if (int output = is_elementwise ? binds_store(ops, i) : kNone; output != kNone) {
        bound_map_[d] = output;
        place(op.d, false);
        Step to;
        to.fn = bind, to.d = slot16(slot_, op.d), to.map = static_cast<uint16_t>(output);
        to.i = bytes_of(values_[d].type);
        phase.steps.push_back(to);
      } else if (is_elementwise && has_equal_sizes(op)) {
        release_dead(op, i), released = true;  // the result may take an operand's memory
      }
      place(op.d, op.inst.op == TileOp::reduce);
    }
    MOAI_RETURN_IF_ERROR(emit(op, phase.steps));
    if (!released) release_dead(op, i);
    if (op.d != kNone && last_use_[static_cast<size_t>(op.d)] == i &&
        !kept_[static_cast<size_t>(op.d)] && bound_map_[static_cast<size_t>(op.d)] == kNone)
      give(place_[static_cast<size_t>(slot_[static_cast<size_t>(op.d)])], bytes_of_value(op.d));
  }
  phase.once = std::none_of(ops.begin(), ops.end(), [&](const TileNode* op) {
    return op->extent == Extent::full &&
           !(out_.kind == TileKind::column && op->level > 0 && op->inst.op != TileOp::reduce);
  });
  return ok_status();
}

}  // namespace moai::cpu
