#include "src/device/cpu/tile_compile.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <utility>

#include "src/device/cpu/tile_grid.h"

namespace moai::cpu {
namespace {

constexpr int kNone = -1;

// A value of the program in SSA form. Instructions that write a register twice make two values.
struct Value {
  TileType type = TileType::f32;
  Extent extent = Extent::uniform;
  int level = 0;  // how many reduces lie under it
};

// An instruction on values. `map` is an index into the affine maps.
struct Op {
  TileInst inst;
  int d = kNone, a = kNone, b = kNone, c = kNone;
  int map = kNone;
  Extent extent = Extent::full;
  int level = 0;
};

class Compiler {
 public:
  Compiler(const TileProgram& p, const TileOps& ops,
           const std::function<bool(int, int)>& may_overlap)
      : program_(p), ops_(ops), may_overlap_(may_overlap) {}

  StatusOr<CompiledTile> run();

 private:
  Status read_program();
  Status read_inst(const TileInst& inst);
  void copy_bytes_only();
  Extent extent_of_map(int map) const;
  int add_value(TileType type, Extent extent, int level);
  int converted(int value, TileType type);
  Status check_inst(const TileInst& inst) const;

  void split_phases();
  void need(const Op& root, int phase, std::vector<char>& wanted) const;
  Status emit_phase(const std::vector<const Op*>& ops, TilePhase& phase);
  Status emit(const Op& op, std::vector<Step>& steps);
  Status prepare_compute(const Op& op, std::vector<Step>& steps);
  void emit_compute(const Op& op, std::vector<Step>& steps);
  int widened(int value, Extent extent, std::vector<Step>& steps);
  bool fuse_mul_add(const std::vector<const Op*>& ops, size_t i, std::vector<Step>& steps);

  // Memory of values.
  uint32_t bytes_of_value(int value) const;
  uint32_t take(uint32_t bytes);
  void give(uint32_t at, uint32_t bytes);
  void place(int value, bool keep);
  void release_dead(const Op& op, size_t position);
  bool has_equal_sizes(const Op& op) const;
  bool is_contiguous(int map) const;
  bool binds_load(const Op& load, const std::vector<const Op*>& ops) const;
  int binds_store(const std::vector<const Op*>& ops, size_t at) const;
  bool reads_overlap(const Op& op, int output) const;

  const TileProgram& program_;
  const TileOps& ops_;
  const std::function<bool(int, int)>& may_overlap_;
  TileProgram bytes_;  // stands in for program_ when it only moves bytes
  const TileProgram* p_ = &program_;

  std::vector<AffineMap> maps_;
  std::vector<Value> values_;
  std::vector<Op> code_;
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

bool is_truth(Prim op) { return info(op).domain == Domain::truth; }

// -- reading: registers -> values

// Narrow floats of a program that only moves elements travel as integers: no rounding, no NaN lost.
void Compiler::copy_bytes_only() {
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

int Compiler::add_value(TileType type, Extent extent, int level) {
  values_.push_back({type, extent, level});
  return static_cast<int>(values_.size()) - 1;
}

// uniform: the same everywhere; row: the same along a row; full: differs along a row.
Extent Compiler::extent_of_map(int map) const {
  const TileMap& m = out_.maps[static_cast<size_t>(map)];
  const TileStride s = out_.strides[static_cast<size_t>(map)];
  if (s.col != 0) return Extent::full;
  if (s.row != 0 || m.loop_step != 0) return Extent::row;
  for (int64_t step : m.steps)
    if (step != 0) return Extent::row;
  return Extent::uniform;
}

int Compiler::converted(int value, TileType type) {
  const Value v = values_[static_cast<size_t>(value)];
  if (v.type == type) return value;
  Op op;
  op.inst.op = TileOp::convert;
  op.inst.type = type;
  op.a = value;
  op.extent = v.extent;
  op.level = v.level;
  op.d = add_value(type, v.extent, v.level);
  code_.push_back(op);
  return op.d;
}

Status Compiler::check_inst(const TileInst& i) const {
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

Status Compiler::read_inst(const TileInst& inst) {
  MOAI_RETURN_IF_ERROR(check_inst(inst));
  const auto value_of = [&](int r) { return r < 0 ? kNone : current_[static_cast<size_t>(r)]; };
  Op op;
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
      const bool is_iota = inst.op == TileOp::iota;
      // Maps follow the buffers: one for each rng map, then one for each dimension.
      op.map = static_cast<int>(p_->buffers.size() + (is_iota ? p_->rng_maps.size() : 0)) +
               static_cast<int>(inst.imm_i);
      if (!is_iota) {
        op.a = converted(use(inst.a), TileType::i64);
        op.b = converted(use(inst.b), TileType::i64);
        if (op.extent != Extent::uniform)
          return unimplemented("[rng] needs one key and offset for all elements");
        if (inst.op == TileOp::rng_bits) type = TileType::i64;
      }
      op.extent = extent_of_map(op.map);
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
    case TileOp::reduce: {
      op.a = use(inst.a);
      op.extent = Extent::full;
      type = values_[static_cast<size_t>(op.a)].type;
      const Extent result = p_->kind == TileKind::row ? Extent::row : Extent::full;
      op.d = add_value(type, result, op.level + 1);
      code_.push_back(op);
      current_[static_cast<size_t>(inst.dst)] = op.d;
      return ok_status();
    }
  }
  op.d = add_value(type, op.extent, op.level);
  code_.push_back(op);
  current_[static_cast<size_t>(inst.dst)] =
      inst.op == TileOp::load ? converted(op.d, inst.type) : op.d;
  return ok_status();
}

Status Compiler::read_program() {
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
                           " are not supported");
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

// -- memory of values

uint32_t Compiler::bytes_of_value(int value) const {
  const Value& v = values_[static_cast<size_t>(value)];
  const int64_t n = v.extent == Extent::uniform ? 1
                    : v.extent == Extent::row   ? out_.grid.tile_rows
                                                : out_.grid.tile_rows * out_.grid.tile_len;
  // A cache line more, so that equal lines of two values do not share a cache set.
  return static_cast<uint32_t>((n * bytes_of(v.type) + 63) / 64 * 64 + 64);
}

uint32_t Compiler::take(uint32_t bytes) {
  if (auto it = free_.find(bytes); it != free_.end()) {
    const uint32_t at = it->second;
    free_.erase(it);
    return at;
  }
  const uint32_t at = top_;
  top_ += bytes;
  return at;
}
void Compiler::give(uint32_t at, uint32_t bytes) { free_.emplace(bytes, at); }

void Compiler::place(int value, bool keep) {
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

void Compiler::release_dead(const Op& op, size_t position) {
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
bool Compiler::has_equal_sizes(const Op& op) const {
  const int size = bytes_of(values_[static_cast<size_t>(op.d)].type);
  for (int v : {op.a, op.b, op.c})
    if (v != kNone && bytes_of(values_[static_cast<size_t>(v)].type) != size) return false;
  return true;
}

// Whether a tile of the map is one run of memory.
bool Compiler::is_contiguous(int map) const {
  const TileStride s = out_.strides[static_cast<size_t>(map)];
  return s.col == 1 && (out_.grid.tile_rows == 1 || s.row == out_.grid.tile_len);
}

bool Compiler::reads_overlap(const Op& op, int output) const {
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
bool Compiler::binds_load(const Op& load, const std::vector<const Op*>& ops) const {
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
int Compiler::binds_store(const std::vector<const Op*>& ops, size_t at) const {
  const Op& def = *ops[at];
  if (def.extent != Extent::full || def.inst.op == TileOp::reduce) return kNone;
  for (size_t i = at + 1; i < ops.size(); i++) {
    const Op& s = *ops[i];
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

// -- emitting steps

uint16_t slot16(const std::vector<int>& slots, int value) {
  return value == kNone ? uint16_t{0} : static_cast<uint16_t>(slots[static_cast<size_t>(value)]);
}

// Binds a slot to a buffer's memory at the tile.
void bind(const Step& s, Tile& t) { t.slots[s.d] = t.buffers[s.map] + t.at[s.map] * s.i; }

// The value with one element for each of `extent`.
int Compiler::widened(int value, Extent extent, std::vector<Step>& steps) {
  const Value v = values_[static_cast<size_t>(value)];
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
Status Compiler::prepare_compute(const Op& op, std::vector<Step>& steps) {
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
                         "] has no kernel for this element type");
  return ok_status();
}

void Compiler::emit_compute(const Op& op, std::vector<Step>& steps) {
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

Status Compiler::emit(const Op& op, std::vector<Step>& steps) {
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
    return unimplemented("[tile program] an instruction has no kernel for its element type");
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
bool Compiler::fuse_mul_add(const std::vector<const Op*>& ops, size_t i, std::vector<Step>& steps) {
  if (i + 1 >= ops.size()) return false;
  const Op &mul = *ops[i], &add = *ops[i + 1];
  const auto is = [](const Op& op, Prim p) {
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

Status Compiler::emit_phase(const std::vector<const Op*>& ops, TilePhase& phase) {
  for (size_t i = 0; i < values_.size(); i++)
    if (!kept_[i]) slot_[i] = kNone, bound_map_[i] = kNone;
  for (size_t i = 0; i < ops.size(); i++)
    for (int v : {ops[i]->a, ops[i]->b, ops[i]->c, ops[i]->d})
      if (v != kNone) last_use_[static_cast<size_t>(v)] = i;
  for (size_t i = 0; i < ops.size(); i++) {
    const Op& op = *ops[i];
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
  phase.once = std::none_of(ops.begin(), ops.end(), [&](const Op* op) {
    return op->extent == Extent::full &&
           !(out_.kind == TileKind::column && op->level > 0 && op->inst.op != TileOp::reduce);
  });
  return ok_status();
}

// What a root needs, stopping at values that an earlier phase left.
void Compiler::need(const Op& root, int phase, std::vector<char>& wanted) const {
  std::vector<int> open = {root.a, root.b, root.c};
  std::vector<int> def(values_.size(), kNone);
  for (size_t i = 0; i < code_.size(); i++)
    if (code_[i].d != kNone) def[static_cast<size_t>(code_[i].d)] = static_cast<int>(i);
  while (!open.empty()) {
    const int v = open.back();
    open.pop_back();
    if (v == kNone) continue;
    const size_t i = static_cast<size_t>(def[static_cast<size_t>(v)]);
    const Op& op = code_[i];
    if (wanted[i] || kept_[static_cast<size_t>(v)]) continue;
    if (op.inst.op == TileOp::reduce && values_[static_cast<size_t>(v)].level <= phase) continue;
    wanted[i] = 1;
    open.insert(open.end(), {op.a, op.b, op.c});
  }
}

StatusOr<CompiledTile> Compiler::run() {
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
    const Op& op = code_[i];
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
  for (const Op& op : code_) levels = std::max(levels, op.level);
  for (int phase = 0; phase <= (is_split ? levels : 0); phase++) {
    std::vector<char> wanted(code_.size(), 0);
    for (size_t i = 0; i < code_.size(); i++) {
      const Op& op = code_[i];
      const bool is_root = op.inst.op == TileOp::store || op.inst.op == TileOp::reduce;
      if (!is_root || (is_split && op.level != phase)) continue;
      wanted[i] = 1;
      need(op, is_split ? phase : -1, wanted);
    }
    std::vector<const Op*> ops;
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

}  // namespace

StatusOr<CompiledTile> compile_tile(const TileProgram& program, const TileOps& ops,
                                    const std::function<bool(int, int)>& may_overlap) {
  return Compiler(program, ops, may_overlap).run();
}

}  // namespace moai::cpu
