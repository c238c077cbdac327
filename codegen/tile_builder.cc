#include "codegen/tile_builder.h"

#include <algorithm>
#include <string>

namespace moai::codegen {
namespace {

uint64_t key_of(ir::ValueId v, uint32_t map) {
  return uint64_t{map} << 32 | static_cast<uint32_t>(v);
}

bool is_narrow(DType t) {
  return t == DType::f16 || t == DType::bf16 || t == DType::i16 || t == DType::i8 || t == DType::u8;
}

// Ops whose result is representable whenever their operands are.
bool is_exact(Prim op, DType t) {
  switch (op) {
    case Prim::max:
    case Prim::min:
    case Prim::select:
    case Prim::clamp:
    case Prim::bit_and:
    case Prim::bit_or:
    case Prim::bit_xor: return true;
    case Prim::neg:
    case Prim::abs:
    case Prim::sign:
    case Prim::floor:
    case Prim::ceil:
    case Prim::trunc:
    case Prim::round_even: return is_float(t);
    default: return false;
  }
}

bool has_tile_type(DType t) { return !is_complex(t); }

}  // namespace

TileBuilder::TileBuilder(const ir::Graph& graph, const Flags& is_copied,
                         const std::vector<bool>& is_member, TileKind kind, const Shape& space)
    : g_(graph),
      is_copied_(is_copied),
      is_member_(is_member),
      kind_(kind),
      region_(space, kind == TileKind::column ? 3
                     : kind == TileKind::row  ? 1
                                              : 0) {}

int TileBuilder::fail(const std::string& what) {
  if (status_.ok()) status_ = internal_error("[emit] " + what);
  return -1;
}

int TileBuilder::add(TileInst inst) {
  if (next_ == INT16_MAX) return fail("a kernel has too many values; fuse less");
  inst.dst = static_cast<int16_t>(next_);
  code_.push_back(inst);
  return next_++;
}

int TileBuilder::load(ir::ValueId v, uint32_t map) {
  auto [it, is_new] = loads_.try_emplace(key_of(v, map), -1);
  if (!is_new) return it->second;
  ContiguousBase base{v, 0};
  const ir::Node* n = g_.def(v);
  if (n && n->op == Prim::bitcast && !is_copied_[index_of(v)])
    base = contiguous_base(g_, is_copied_, v, false);
  DType dtype = g_.type(v).dtype;
  TileInst inst;
  inst.op = TileOp::load;
  inst.type = tile_type_of(dtype);
  inst.imm_i = static_cast<int64_t>(buffers_.size());
  buffers_.push_back({base.value, dtype, base.offset, map, false, code_.size()});
  return it->second = add(inst);
}

void TileBuilder::store(int reg, ir::ValueId out, uint32_t map) {
  if (reg < 0) return;
  DType dtype = g_.type(out).dtype;
  TileInst inst;
  inst.op = TileOp::store;
  inst.type = tile_type_of(dtype);
  inst.a = static_cast<int16_t>(reg);
  inst.imm_i = static_cast<int64_t>(buffers_.size());
  buffers_.push_back({out, dtype, 0, map, true, code_.size()});
  code_.push_back(inst);
}

void TileBuilder::set_base(ir::ValueId out, ir::ValueId base) { bases_.emplace_back(out, base); }

std::vector<ir::ValueId> TileBuilder::loaded() const {
  std::vector<ir::ValueId> out;
  for (const BufferUse& b : buffers_)
    if (!b.is_output) out.push_back(b.value);
  for (auto& [o, base] : bases_) out.push_back(base);
  return out;
}

int TileBuilder::value(ir::ValueId v, uint32_t map) {
  if (!status_.ok()) return -1;
  if (auto it = values_.find(key_of(v, map)); it != values_.end()) return it->second;
  const ir::Node* n = g_.def(v);
  int reg = -1;
  if (!n || is_copied_[index_of(v)]) {
    reg = load(v, map);
  } else {
    size_t node = static_cast<size_t>(n - g_.nodes().data());
    switch (class_of(g_, *n)) {
      case NodeClass::view: reg = view(v, map); break;
      case NodeClass::generator:
        reg = n->op == Prim::constant
                  ? constant(g_.type(v).dtype, std::get<ConstantAttrs>(n->attrs))
                  : iota(*n, map);
        break;
      case NodeClass::pointwise: reg = is_member_[node] ? compute(*n, map) : load(v, map); break;
      case NodeClass::reduce: reg = is_member_[node] ? reduce(*n, map) : load(v, map); break;
      default: reg = load(v, map);
    }
  }
  values_[key_of(v, map)] = reg;
  return reg;
}

int TileBuilder::root(ir::ValueId v, uint32_t map) {
  const ir::Node& n = *g_.def(v);
  if (n.op == Prim::iota) return iota(n, map);
  return class_of(g_, n) == NodeClass::view ? view(v, map) : value(v, map);
}

int TileBuilder::view(ir::ValueId v, uint32_t map) {
  if (g_.def(v)->op == Prim::bitcast)
    return is_copied_[index_of(v)]
               ? fail("%" + std::to_string(index_of(v)) + ", a bitcast, has no copy kernel")
               : load(v, map);
  // A view that became a copy after fusion looked through it may be one at which the map does not
  // fit a row: then the way goes on below it, as it did then.
  for (int copies = 0; copies < kRankMax; copies++) {
    IndexMap below = region_.map(map);
    int left = copies;
    ir::ValueId end = region_.follow(g_, v, below, [&](ir::ValueId x) {
      if (x == v || folds(g_, is_copied_, x)) return true;
      bool is_copy = is_copied_[index_of(x)] && class_of(g_, *g_.def(x)) == NodeClass::view;
      return is_copy && left-- > 0;
    });
    if (end != v && !folds(g_, is_copied_, end)) return value(end, region_.intern(below));
  }
  return fail("%" + std::to_string(index_of(v)) + ", a " + std::string(info(g_.def(v)->op).name) +
              ", does not fold where fusion said so");
}

int TileBuilder::rounded(int reg, DType dtype) {
  if (reg < 0 || !is_narrow(dtype)) return reg;
  TileInst inst;
  inst.op = TileOp::round;
  inst.type = inst.src_type = tile_type_of(dtype);
  inst.dtype = dtype;
  inst.a = static_cast<int16_t>(reg);
  return add(inst);
}

int TileBuilder::constant(DType dtype, const ConstantAttrs& attrs) {
  if (!has_tile_type(dtype)) return fail("complex numbers have no tile program");
  TileInst inst;
  inst.op = TileOp::constant;
  inst.type = tile_type_of(dtype);
  inst.dtype = dtype;
  if (is_float(dtype))
    inst.imm_f = attrs.f;
  else
    inst.imm_i = dtype == DType::boolean ? attrs.i != 0 : attrs.i;
  for (auto& [known, reg] : constants_)
    if (known == inst) return reg;
  TileInst plain = inst;
  plain.dtype = DType::f32;
  int reg = rounded(add(plain), dtype);
  constants_.emplace_back(inst, reg);
  return reg;
}

int TileBuilder::iota(const ir::Node& n, uint32_t map) {
  ir::ValueId v = n.results[0];
  IndexMap index = region_.map(map);
  if (!region_.axis_index(g_.type(v).shape, static_cast<int>(std::get<AxisAttrs>(n.attrs).axis),
                          index))
    return fail("%" + std::to_string(index_of(v)) +
                ", an iota, is not affine where fusion said so");
  TileInst inst;
  inst.op = TileOp::iota;
  inst.type = tile_type_of(g_.type(v).dtype);
  inst.imm_i = region_.intern(index);  // until lower_iotas()
  return rounded(add(inst), g_.type(v).dtype);
}

int TileBuilder::convert(int reg, DType from, DType to) {
  if (reg < 0) return reg;
  if (!has_tile_type(from) || !has_tile_type(to))
    return fail("complex numbers have no tile program");
  if (tile_type_of(from) != tile_type_of(to)) {
    TileInst inst;
    inst.op = TileOp::convert;
    inst.type = tile_type_of(to);
    inst.src_type = tile_type_of(from);
    inst.a = static_cast<int16_t>(reg);
    reg = add(inst);
  }
  bool is_wider = is_float(from) ? to == DType::f32 || to == DType::f64 : from == DType::boolean;
  return is_wider || from == to ? reg : rounded(reg, to);
}

int TileBuilder::random(const ir::Node& n, uint32_t map) {
  uint32_t scalar = region_.scalar();
  int key = value(n.operands[0], scalar), offset = value(n.operands[1], scalar);
  if (key < 0 || offset < 0) return -1;
  TileInst inst;
  inst.op = n.op == Prim::rng_bits ? TileOp::rng_bits : TileOp::rng;
  inst.dtype = g_.type(n.results[0]).dtype;
  inst.type = tile_type_of(inst.dtype);
  inst.a = static_cast<int16_t>(key);
  inst.b = static_cast<int16_t>(offset);
  inst.imm_i = static_cast<int64_t>(rng_maps_.size());
  rng_maps_.push_back(map);
  return add(inst);
}

int TileBuilder::reduce(const ir::Node& n, uint32_t map) {
  if (kind_ == TileKind::pointwise) return fail("a pointwise kernel was given a reduce");
  if (kind_ == TileKind::row && map != region_.rows()) return fail("a reduce is read across rows");
  int operand = value(n.operands[0], region_.whole());
  if (operand < 0) return -1;
  DType dtype = g_.type(n.results[0]).dtype;
  TileInst inst;
  inst.op = TileOp::reduce;
  inst.kind = std::get<ReduceAttrs>(n.attrs).kind;
  inst.type = tile_type_of(dtype);
  inst.a = static_cast<int16_t>(operand);
  int reg = add(inst);
  return kind_ == TileKind::row ? rounded(reg, dtype) : reg;
}

int TileBuilder::compute(const ir::Node& n, uint32_t map) {
  if (n.op == Prim::rng_uniform || n.op == Prim::rng_bits) return random(n, map);
  DType dtype = g_.type(n.results[0]).dtype;
  if (n.op == Prim::convert)
    return convert(value(n.operands[0], map), g_.type(n.operands[0]).dtype, dtype);
  if (!has_tile_type(dtype)) return fail("complex numbers have no tile program");
  int regs[3] = {-1, -1, -1};
  for (size_t i = 0; i < n.operands.size(); i++)
    if ((regs[i] = value(n.operands[i], map)) < 0) return -1;
  TileInst inst;
  inst.op = TileOp::compute;
  inst.prim = n.op;
  bool is_truth = info(n.op).domain == Domain::truth;
  TileType operand = tile_type_of(g_.type(n.operands[0]).dtype);
  inst.type = is_truth ? operand : tile_type_of(dtype);
  inst.src_type = operand;
  inst.a = static_cast<int16_t>(regs[0]);
  inst.b = static_cast<int16_t>(regs[1]);
  inst.c = static_cast<int16_t>(regs[2]);
  int reg = add(inst);
  return is_truth || is_exact(n.op, dtype) ? reg : rounded(reg, dtype);
}

std::vector<uint32_t> TileBuilder::used_maps() const {
  std::vector<uint32_t> used = rng_maps_;
  for (const BufferUse& b : buffers_) used.push_back(b.map);
  for (const TileInst& i : code_)
    if (i.op == TileOp::iota) used.push_back(static_cast<uint32_t>(i.imm_i));
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  return used;
}

// An index that is a sum over several dimensions becomes that sum, in i64.
void TileBuilder::lower_iotas() {
  std::vector<TileInst> old;
  old.swap(code_);
  auto constant_of = [&](int64_t v) {
    TileInst inst;
    inst.op = TileOp::constant, inst.type = TileType::i64, inst.imm_i = v;
    return static_cast<int16_t>(add(inst));
  };
  auto combine = [&](Prim op, int16_t a, int16_t b) {
    TileInst inst;
    inst.op = TileOp::compute, inst.prim = op, inst.type = inst.src_type = TileType::i64,
    inst.a = a, inst.b = b;
    return static_cast<int16_t>(add(inst));
  };
  for (const TileInst& i : old) {
    if (i.op != TileOp::iota) {
      code_.push_back(i);
      continue;
    }
    const IndexMap& m = region_.map(static_cast<uint32_t>(i.imm_i));
    int terms = 0, dim = -1;
    for (int s = 0; s < m.strides.rank(); s++)
      if (m.strides[s] != 0) terms++, dim = s;
    if (terms == 1 && m.strides[dim] == 1 && m.offset == 0) {
      code_.push_back(i);
      code_.back().imm_i = dim;
      continue;
    }
    int16_t sum = constant_of(m.offset);
    for (int s = 0; s < m.strides.rank(); s++) {
      if (m.strides[s] == 0) continue;
      TileInst index;
      index.op = TileOp::iota, index.type = TileType::i64, index.imm_i = s;
      int16_t term = static_cast<int16_t>(add(index));
      if (m.strides[s] != 1) term = combine(Prim::mul, term, constant_of(m.strides[s]));
      sum = combine(Prim::add, sum, term);
    }
    TileInst to;
    to.op = TileOp::convert, to.type = i.type, to.src_type = TileType::i64, to.a = sum,
    to.dst = i.dst;
    code_.push_back(to);
  }
}

std::vector<Kernel::Alias> TileBuilder::aliases() const {
  std::vector<Kernel::Alias> out;
  for (uint32_t o = 0; o < buffers_.size(); o++) {
    const BufferUse& to = buffers_[o];
    if (!to.is_output) continue;
    ir::ValueId base = ir::ValueId::none;
    for (auto& [written, b] : bases_)
      if (written == to.value) base = b;
    bool has_base = base != ir::ValueId::none;
    // The other parts of an output in parts go over what they do not read.
    bool is_in_parts = std::count_if(buffers_.begin(), buffers_.end(), [&](const BufferUse& b) {
                         return b.is_output && b.value == to.value;
                       }) > 1;
    if (!has_base && (kind_ != TileKind::pointwise || is_in_parts)) continue;
    for (uint32_t i = 0; i < buffers_.size(); i++) {
      const BufferUse& from = buffers_[i];
      // A load after the store would read what the store wrote.
      if (from.is_output || from.map != to.map || from.offset != 0 || from.at > to.at) continue;
      if (size_of(from.dtype) != size_of(to.dtype) ||
          g_.type(from.value).bytes() != g_.type(to.value).bytes())
        continue;
      if (!has_base || from.value == base) out.push_back({o, i, has_base});
    }
  }
  return out;
}

StatusOr<Kernel> TileBuilder::finish() {
  MOAI_RETURN_IF_ERROR(status_);
  region_.coalesce(used_maps());
  Kernel k;
  k.aliases = aliases();
  lower_iotas();
  MOAI_RETURN_IF_ERROR(status_);
  TileProgram p;
  p.kind = kind_;
  p.space = region_.space();
  auto buffer = [&](DType dtype, bool is_output, int64_t offset, uint32_t map) {
    const IndexMap& m = region_.map(map);
    return TileBuffer{dtype, is_output, offset + m.offset, m.strides};
  };
  for (const BufferUse& b : buffers_) {
    p.buffers.push_back(buffer(b.dtype, b.is_output, b.offset, b.map));
    k.buffers.push_back(b.value);
    k.writes.push_back(b.is_output);
  }
  for (uint32_t map : rng_maps_) p.rng_maps.push_back(buffer(DType::i64, false, 0, map));
  p.code = std::move(code_);
  std::vector<TileInst> shared = p.code;
  p.registers = allocate_registers(p.code, next_);
  if (p.registers > kTileRegistersMax) {
    p.code = std::move(shared);
    next_ = repeat_constants(p.code, next_);
    p.registers = allocate_registers(p.code, next_);
  }
  if (p.registers > kTileRegistersMax || static_cast<int>(p.buffers.size()) > kTileBuffersMax)
    return internal_error("[emit] a kernel needs " + std::to_string(p.registers) +
                          " registers and " + std::to_string(p.buffers.size()) +
                          " buffers; fuse less");
  k.source = std::move(p);
  for (auto& [written, base] : bases_) {
    bool is_named = std::any_of(k.aliases.begin(), k.aliases.end(), [&](const Kernel::Alias& a) {
      return a.must && k.buffers[a.output] == written;
    });
    if (is_named) continue;
    auto at = std::find(k.buffers.begin(), k.buffers.end(), written);
    k.aliases.push_back({static_cast<uint32_t>(at - k.buffers.begin()),
                         static_cast<uint32_t>(k.buffers.size()), true});
    k.buffers.push_back(base);
    k.writes.push_back(false);
  }
  return k;
}

}  // namespace moai::codegen
