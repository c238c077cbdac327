// Random tile programs give the same bits on every instruction set with FMA and any number of
// threads.
#include "tests/conformance/device_harness.h"

namespace moai::test {
namespace {

constexpr DType kDTypes[] = {DType::f32,  DType::f32, DType::f32, DType::f64, DType::f16,
                             DType::bf16, DType::i64, DType::i32, DType::u8,  DType::boolean};
constexpr Prim kUnary[] = {Prim::neg,  Prim::abs, Prim::sqrt,  Prim::exp,   Prim::log,
                           Prim::tanh, Prim::erf, Prim::rsqrt, Prim::expm1, Prim::log1p,
                           Prim::sin,  Prim::cos, Prim::floor, Prim::sign,  Prim::erfc};
constexpr Prim kBinary[] = {Prim::add, Prim::sub, Prim::mul, Prim::mul, Prim::add, Prim::div,
                            Prim::max, Prim::min, Prim::lt,  Prim::eq,  Prim::ge};

struct RandomProgram {
  TileProgram program;
  std::vector<Tensor> tensors;
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : source_(seed) {}

  RandomProgram make() {
    RandomProgram r;
    TileProgram& p = r.program;
    p.kind = static_cast<TileKind>(pick(3));
    const int rank = p.kind == TileKind::column ? 3 : static_cast<int>(1 + pick(3));
    for (int d = 0; d < rank; d++) p.space.push_back(1 + pick(pick(3) == 0 ? 90 : 7));
    if (pick(6) == 0) p.space[rank - 1] = 1 + pick(3000);
    if (p.kind == TileKind::row && pick(20) == 0) p.space = {2, 16000 + pick(3000)};
    types_.clear();
    const int64_t inputs = 1 + pick(4);
    for (int64_t i = 0; i < inputs; i++) add_input(r);
    const int64_t length = 2 + pick(12);
    for (int64_t i = 0; i < length; i++) add_compute(p);
    int value = static_cast<int>(types_.size()) - 1;
    if (p.kind != TileKind::pointwise) {
      value = add_reduce(p, value);
      if (p.kind == TileKind::row && types_[static_cast<size_t>(value)] != TileType::boolean &&
          pick(2) == 0) {
        add_output(r, value, true);
        value = add_binary(p, Prim::sub, find(types_[static_cast<size_t>(value)]), value);
        if (pick(2) == 0) value = add_binary(p, Prim::mul, value, add_reduce(p, value));
      }
    }
    add_output(r, value, p.kind != TileKind::pointwise && is_reduced_[static_cast<size_t>(value)]);
    if (p.kind != TileKind::column && pick(2) == 0)
      add_output(r, static_cast<int>(inputs), is_reduced_[static_cast<size_t>(inputs)]);
    p.registers = static_cast<int>(types_.size());
    return r;
  }

 private:
  int64_t pick(int64_t n) { return source_.integer(0, n - 1); }
  int add_value(TileType t, bool is_reduced = false) {
    types_.push_back(t), is_reduced_.resize(types_.size());
    is_reduced_.back() = is_reduced;
    return static_cast<int>(types_.size()) - 1;
  }
  int find(TileType t) {
    std::vector<int> fit;
    for (size_t i = 0; i < types_.size(); i++)
      if (types_[i] == t) fit.push_back(static_cast<int>(i));
    return fit[static_cast<size_t>(pick(static_cast<int64_t>(fit.size())))];
  }

  void add_input(RandomProgram& r) {
    TileProgram& p = r.program;
    const DType t = kDTypes[pick(10)];
    TileBuffer b = {t, false, 0, Shape::filled(p.space.rank(), 0)};
    std::vector<int> order(static_cast<size_t>(p.space.rank()));
    for (int d = 0; d < p.space.rank(); d++) order[static_cast<size_t>(d)] = d;
    if (pick(3) == 0) std::swap(order[0], order[order.size() - 1]);
    int64_t step = 1 + (pick(8) == 0);
    for (size_t i = order.size(); i-- > 0;) {
      if (pick(4) == 0) continue;
      b.strides[order[i]] = step;
      step *= p.space[order[i]];
    }
    b.offset = pick(3);
    r.tensors.push_back(source_.tensor(t, {step + 2}, t == DType::u8 ? 0 : -3, 3));
    TileInst i;
    i.op = TileOp::load, i.imm_i = static_cast<int64_t>(p.buffers.size()), i.type = tile_type_of(t);
    p.buffers.push_back(b);
    i.dst = static_cast<int16_t>(add_value(i.type));
    p.code.push_back(i);
  }
  int add_binary(TileProgram& p, Prim op, int a, int b) {
    TileInst i;
    i.op = TileOp::compute, i.prim = op, i.a = static_cast<int16_t>(a),
    i.b = static_cast<int16_t>(b);
    i.type = types_[static_cast<size_t>(a)];
    i.dst = static_cast<int16_t>(
        add_value(info(op).domain == Domain::truth ? TileType::boolean : i.type,
                  is_reduced_[static_cast<size_t>(a)] && is_reduced_[static_cast<size_t>(b)]));
    p.code.push_back(i);
    return i.dst;
  }
  void add_compute(TileProgram& p) {
    const int a = static_cast<int>(pick(static_cast<int64_t>(types_.size())));
    const TileType t = types_[static_cast<size_t>(a)];
    const bool is_real = t == TileType::f32 || t == TileType::f64;
    TileInst i;
    i.a = static_cast<int16_t>(a), i.type = t;
    const int64_t kind = pick(10);
    if (t == TileType::boolean || kind == 0) {
      i.op = TileOp::convert, i.src_type = t;
      i.type = t == TileType::f32 ? TileType::f64 : TileType::f32;
    } else if (kind == 1) {
      i.op = TileOp::constant, i.a = -1, i.imm_f = 0.75, i.imm_i = 3;
    } else if (kind == 2) {
      i.op = TileOp::iota, i.a = -1, i.imm_i = pick(p.space.rank());
    } else if (kind < 6 && is_real) {
      i.op = TileOp::compute, i.prim = kUnary[pick(15)];
    } else {
      add_binary(p, kBinary[pick(11)], a, find(t));
      return;
    }
    i.dst = static_cast<int16_t>(add_value(i.type));
    p.code.push_back(i);
  }
  int add_reduce(TileProgram& p, int value) {
    TileInst i;
    i.op = TileOp::reduce, i.a = static_cast<int16_t>(value),
    i.type = types_[static_cast<size_t>(value)];
    i.kind = i.type == TileType::boolean ? ReduceKind::any : static_cast<ReduceKind>(pick(4));
    i.dst = static_cast<int16_t>(add_value(i.type, true));
    p.code.push_back(i);
    return i.dst;
  }
  void add_output(RandomProgram& r, int value, bool is_reduced) {
    TileProgram& p = r.program;
    const TileType t = types_[static_cast<size_t>(value)];
    const DType dtype = t == TileType::f32   ? (pick(4) == 0 ? DType::bf16 : DType::f32)
                        : t == TileType::f64 ? DType::f64
                        : t == TileType::i64 ? DType::i64
                        : t == TileType::i32 ? DType::i32
                                             : DType::boolean;
    Shape sizes = p.space;
    if (is_reduced) sizes[p.kind == TileKind::column ? 1 : sizes.rank() - 1] = 1;
    TileBuffer b = {dtype, true, 0, contiguous_strides(sizes)};
    if (is_reduced) b.strides[p.kind == TileKind::column ? 1 : sizes.rank() - 1] = 0;
    r.tensors.push_back(make_tensor(dtype, sizes));
    TileInst i;
    i.op = TileOp::store, i.a = static_cast<int16_t>(value),
    i.imm_i = static_cast<int64_t>(p.buffers.size()), i.type = t;
    p.buffers.push_back(b);
    p.code.push_back(i);
  }

  Source source_;
  std::vector<TileType> types_;
  std::vector<bool> is_reduced_;
};

// Equal bits; NaNs count as equal, whatever their payload.
bool same(const Tensor& a, const Tensor& b) {
  if (a.data == b.data) return true;
  for (int64_t i = 0; i < a.type.shape.numel(); i++) {
    if (!is_float(a.type.dtype)) return false;
    const double x = get_real(a, i), y = get_real(b, i);
    if (x != y && !(std::isnan(x) && std::isnan(y))) return false;
  }
  return true;
}

TEST_CASE("2000 random tile programs on every tier and thread count") {
  std::vector<std::unique_ptr<Device>> devices;
  for (cpu::Tier tier : {cpu::Tier::v3, cpu::Tier::v4})
    for (int threads : {1, 2, 3, 7})
      if (tier <= cpu::best_tier()) devices.push_back(cpu::make_device({threads, 0}, tier));
  if (cpu::best_tier() == cpu::Tier::base) devices.push_back(cpu::make_device({1, 0}));
  int ran = 0;
  for (uint32_t seed = 0; seed < 2000; seed++) {
    const RandomProgram r = Generator(seed).make();
    std::vector<Tensor> first;
    for (size_t d = 0; d < devices.size(); d++) {
      if (seed % 4 != 0 && d != 0 && d != devices.size() - 1 - seed % 3) continue;
      std::vector<Tensor> t = r.tensors;
      const Status s = run_kernel(*devices[d], r.program, t);
      INFO("seed " << seed << " on " << devices[d]->info().name << ": " << s.to_string());
      REQUIRE(s.ok());
      if (d == 0) first = t;
      for (size_t i = 0; i < t.size(); i++) REQUIRE(same(t[i], first[i]));
      ran++;
    }
  }
  REQUIRE(ran >= 2000);
}

DType dtype_of(TileType t) {
  switch (t) {
    case TileType::f32: return DType::f32;
    case TileType::f64: return DType::f64;
    case TileType::i32: return DType::i32;
    case TileType::i64: return DType::i64;
    case TileType::boolean: break;
  }
  return DType::boolean;
}

// Element numbers of a buffer for every point of the space, row-major.
std::vector<int64_t> elements_of(const TileBuffer& b, const Shape& space) {
  std::vector<int64_t> at;
  for (int64_t i = 0; i < space.numel(); i++) {
    int64_t x = b.offset, left = i;
    for (int d = space.rank() - 1; d >= 0; left /= space[d], d--)
      x += left % space[d] * b.strides[d];
    at.push_back(x);
  }
  return at;
}

// An interpreter on whole tensors: a register is a tensor of the space's shape, an instruction a
// node of the reference evaluator.
void interpret(const TileProgram& p, std::vector<Tensor>& tensors) {
  std::vector<Tensor> registers(static_cast<size_t>(p.registers));
  const auto at = [&](int r) -> Tensor& { return registers[static_cast<size_t>(r)]; };
  for (const TileInst& i : p.code) {
    Tensor out = make_tensor(dtype_of(i.type), p.space);
    const auto node = [&](Prim op, const Attrs& attrs, const std::vector<Tensor>& in,
                          const Type& hint = {}) {
      auto result = reference(op, attrs, in, hint);
      REQUIRE(result.ok());
      return (*result)[0];
    };
    switch (i.op) {
      case TileOp::load:
      case TileOp::store: {
        const TileBuffer& b = p.buffers[static_cast<size_t>(i.imm_i)];
        Tensor& memory = tensors[static_cast<size_t>(i.imm_i)];
        const std::vector<int64_t> element = elements_of(b, p.space);
        for (size_t k = 0; k < element.size(); k++) {
          const int64_t n = static_cast<int64_t>(k);
          Tensor& to = i.op == TileOp::load ? out : memory;
          const Tensor& from = i.op == TileOp::load ? memory : at(i.a);
          const int64_t x = i.op == TileOp::load ? n : element[k],
                        y = i.op == TileOp::load ? element[k] : n;
          is_float(from.type.dtype) ? set_real(to, x, get_real(from, y))
                                    : set_int(to, x, get_int(from, y));
        }
        break;
      }
      case TileOp::constant:
        for (int64_t k = 0; k < p.space.numel(); k++)
          is_float(out.type.dtype) ? set_real(out, k, i.imm_f) : set_int(out, k, i.imm_i);
        break;
      case TileOp::iota: out = node(Prim::iota, AxisAttrs{i.imm_i}, {}, out.type); break;
      case TileOp::convert: out = node(Prim::convert, NoAttrs(), {at(i.a)}, out.type); break;
      case TileOp::compute:
        out = info(i.prim).operands == 1 ? node(i.prim, NoAttrs(), {at(i.a)})
                                         : node(i.prim, NoAttrs(), {at(i.a), at(i.b)});
        break;
      case TileOp::reduce: {
        const int64_t axis = p.kind == TileKind::column ? 1 : p.space.rank() - 1;
        Shape kept;
        for (int d = 0; d < p.space.rank(); d++)
          if (d != axis) kept.push_back(d);
        out = node(Prim::broadcast_in_dim, DimsAttrs{kept},
                   {node(Prim::reduce, ReduceAttrs{i.kind, {axis}}, {at(i.a)})}, out.type);
        break;
      }
      default: FAIL("no such instruction is generated");
    }
    if (i.op != TileOp::store) at(i.dst) = out;
  }
}

// Only operations with one right result, so that every bit has to agree: no functions, no sums.
TEST_CASE("random tile programs of exact operations against an interpreter") {
  auto plain = cpu::make_device({1, 0}, cpu::Tier::base), best = cpu::make_device({2, 0});
  for (uint32_t seed = 5000; seed < 5500; seed++) {
    RandomProgram r = Generator(seed).make();
    if (r.program.space.numel() > 40000) continue;
    for (TileInst& i : r.program.code) {
      if (i.op == TileOp::compute && info(i.prim).operands == 1) i.prim = Prim::abs;
      if (i.op == TileOp::reduce && i.type != TileType::boolean)
        i.kind = seed % 2 ? ReduceKind::max : ReduceKind::min;
    }
    std::vector<Tensor> a = r.tensors, b = r.tensors, want = r.tensors;
    REQUIRE(run_kernel(*plain, r.program, a).ok());
    REQUIRE(run_kernel(*best, r.program, b).ok());
    interpret(r.program, want);
    INFO("seed " << seed);
    for (size_t i = 0; i < a.size(); i++) {
      REQUIRE(same(a[i], want[i]));
      REQUIRE(same(b[i], want[i]));
    }
  }
}

}  // namespace
}  // namespace moai::test
