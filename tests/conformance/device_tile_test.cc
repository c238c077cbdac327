// Tile programs on the cpu device against the reference evaluator: every pointwise primitive and
// type, index maps, rows, columns, random numbers.
#include "moai/philox.h"
#include "tests/conformance/device_harness.h"

namespace moai::test {
namespace {

constexpr DType kDTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64,
                             DType::i32, DType::i16, DType::i8,  DType::u8,   DType::boolean};

TileInst load_of(int dst, int64_t buffer, DType t) {
  TileInst i;
  i.op = TileOp::load, i.dst = static_cast<int16_t>(dst), i.imm_i = buffer,
  i.type = tile_type_of(t);
  return i;
}
TileInst store_of(int a, int64_t buffer, DType t) {
  TileInst i;
  i.op = TileOp::store, i.a = static_cast<int16_t>(a), i.imm_i = buffer, i.type = tile_type_of(t);
  return i;
}
TileInst round_of(int dst, int a, DType t) {
  TileInst i;
  i.op = TileOp::round, i.dst = static_cast<int16_t>(dst), i.a = static_cast<int16_t>(a),
  i.dtype = t;
  i.type = tile_type_of(t);
  return i;
}
TileInst compute_of(Prim prim, int dst, int a, int b, int c, TileType t) {
  TileInst i;
  i.op = TileOp::compute, i.prim = prim, i.type = t, i.src_type = t;
  i.dst = static_cast<int16_t>(dst), i.a = static_cast<int16_t>(a);
  i.b = static_cast<int16_t>(b), i.c = static_cast<int16_t>(c);
  return i;
}
TileInst reduce_of(ReduceKind kind, int dst, int a, TileType t) {
  TileInst i;
  i.op = TileOp::reduce, i.kind = kind, i.type = t, i.dst = static_cast<int16_t>(dst),
  i.a = static_cast<int16_t>(a);
  return i;
}
TileBuffer buffer_of(DType t, const Shape& strides, bool is_output = false, int64_t offset = 0) {
  return {t, is_output, offset, strides};
}

bool allows(Prim op, DType t) {
  switch (info(op).domain) {
    case Domain::number: return t != DType::boolean;
    case Domain::real: return is_float(t);
    case Domain::integer:
      return is_integer(t) || (t == DType::boolean &&
                               (op == Prim::bit_and || op == Prim::bit_or || op == Prim::bit_xor));
    case Domain::any: return true;
    case Domain::truth: return true;
    case Domain::none: break;
  }
  return false;
}

// result[i] = prim(operands[i]...), operands contiguous, rounding to the dtype.
TileProgram pointwise_program(Prim op, DType t, const Shape& space) {
  TileProgram p;
  p.space = space;
  const int n = info(op).operands;
  const bool is_truth = info(op).domain == Domain::truth;
  for (int i = 0; i < n; i++) {
    const DType dtype = op == Prim::select && i == 0 ? DType::boolean : t;
    p.buffers.push_back(buffer_of(dtype, contiguous_strides(space)));
    p.code.push_back(load_of(i, i, dtype));
  }
  p.code.push_back(compute_of(op, n, 0, n > 1 ? 1 : -1, n > 2 ? 2 : -1, tile_type_of(t)));
  const DType result = is_truth ? DType::boolean : t;
  p.code.push_back(round_of(n + 1, n, result));
  p.buffers.push_back(buffer_of(result, contiguous_strides(space), true));
  p.code.push_back(store_of(n + 1, n, result));
  p.registers = n + 2;
  return p;
}

std::vector<Tensor> operands_of(Prim op, DType t, const Shape& shape, Source& source) {
  std::vector<Tensor> in;
  for (int i = 0; i < info(op).operands; i++) {
    const DType dtype = op == Prim::select && i == 0 ? DType::boolean : t;
    double lo = t == DType::u8 ? 0 : -3, hi = 3;
    if (op == Prim::log || op == Prim::sqrt || op == Prim::rsqrt || op == Prim::lgamma)
      lo = 0.1, hi = 9;
    if (op == Prim::log1p) lo = -0.9;
    if (op == Prim::asin || op == Prim::acos || op == Prim::erfinv) lo = -0.95, hi = 0.95;
    if (op == Prim::pow && is_float(t)) lo = 0.1;
    if (op == Prim::pow && !is_float(t)) lo = t == DType::u8 ? 0 : -5, hi = 5;
    if (op == Prim::shl || op == Prim::shr_a)
      lo = i == 1 ? (t == DType::u8 ? 0 : -2) : (t == DType::u8 ? 0 : -100), hi = i == 1 ? 70 : 100;
    if (op == Prim::rem && is_float(t)) lo = 0.5, hi = 9;
    if (op == Prim::tan) lo = -1.2, hi = 1.2;
    in.push_back(source.tensor(dtype, shape, lo, hi));
  }
  if (op == Prim::clamp)
    for (int64_t i = 0; i < shape.numel(); i++)
      if (get_real(in[1], i) > get_real(in[2], i)) std::swap(in[1], in[2]), i = -1;
  return in;
}

TEST_CASE("every pointwise primitive agrees with the evaluator") {
  auto device = cpu::make_device({2, 0});
  Source source(1);
  for (int p = 0; p < kPrimCount; p++) {
    const Prim op = static_cast<Prim>(p);
    if (!is_pointwise(op)) continue;
    for (DType t : kDTypes) {
      if (!allows(op, t)) continue;
      for (const Shape& shape :
           {Shape{}, Shape{1}, Shape{37}, Shape{3, 5}, Shape{0, 4}, Shape{3, 1111}}) {
        if (op == Prim::clamp && shape.numel() > 1) continue;
        std::vector<Tensor> in = operands_of(op, t, shape, source);
        auto want = reference(op, NoAttrs(), in);
        INFO(info(op).name << " " << name_of(t) << " " << shape.numel());
        REQUIRE(want.ok());
        std::vector<Tensor> all = in;
        all.push_back(make_tensor((*want)[0].type.dtype, shape));
        const Status s = run_kernel(*device, pointwise_program(op, t, shape), all);
        INFO(s.to_string());
        REQUIRE(s.ok());
        const bool is_steep = op == Prim::sinh || op == Prim::cosh || op == Prim::pow ||
                              op == Prim::lgamma || op == Prim::tan;
        check_close(all.back(), (*want)[0], rounding_of(t) * (is_steep ? 8 : 2));
      }
    }
  }
}

// out = a + b * 2 over maps that broadcast, transpose, step and start inside.
TEST_CASE("index maps: broadcast, transpose, step, offset") {
  auto device = cpu::make_device({2, 0});
  Source source(2);
  struct Maps {
    Shape space, a, b;
    int64_t at_a, at_b, size_a, size_b;
  };
  const Maps cases[] = {
      {{5, 7}, {7, 1}, {0, 1}, 0, 0, 35, 7},
      {{5, 7}, {7, 1}, {1, 0}, 0, 0, 35, 5},
      {{5, 7}, {1, 5}, {7, 1}, 0, 0, 35, 35},
      {{40, 3000}, {1, 40}, {0, 1}, 0, 0, 120000, 3000},
      {{3000, 40}, {1, 3000}, {0, 0}, 0, 0, 120000, 1},
      {{4, 6, 8}, {96, 16, 2}, {0, 1, 0}, 3, 2, 400, 10},
      {{2, 3, 4, 5}, {60, 5, 15, 1}, {0, 20, 0, 0}, 0, 1, 120, 50},
      {{16, 8, 33}, {264, 33, 1}, {0, 1, 0}, 0, 0, 16 * 264, 8},
      {{9, 2000}, {-2000, -1}, {2000, 1}, 17999, 0, 18000, 18000},
      {{2, 1}, {1, 9}, {0, 0}, 0, 0, 2, 1},
  };
  for (DType t : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::u8}) {
    for (const Maps& m : cases) {
      TileProgram p;
      p.space = m.space;
      p.buffers = {buffer_of(t, m.a, false, m.at_a), buffer_of(t, m.b, false, m.at_b),
                   buffer_of(t, contiguous_strides(m.space), true)};
      TileInst two;
      two.op = TileOp::constant, two.dst = 2, two.imm_f = 2, two.imm_i = 2,
      two.type = tile_type_of(t);
      p.code = {load_of(0, 0, t),
                load_of(1, 1, t),
                two,
                compute_of(Prim::mul, 3, 1, 2, -1, tile_type_of(t)),
                round_of(3, 3, t),
                compute_of(Prim::add, 4, 0, 3, -1, tile_type_of(t)),
                round_of(4, 4, t),
                store_of(4, 2, t)};
      p.registers = 5;
      std::vector<Tensor> all = {source.quarters(t, {m.size_a}), source.quarters(t, {m.size_b}),
                                 make_tensor(t, m.space)};
      REQUIRE(run_kernel(*device, p, all).ok());
      Tensor want = make_tensor(t, m.space);
      int64_t i = 0;
      Shape at = Shape::filled(m.space.rank(), 0);
      for (; i < m.space.numel(); i++) {
        int64_t x = m.at_a, y = m.at_b;
        for (int d = 0; d < at.rank(); d++) x += at[d] * m.a[d], y += at[d] * m.b[d];
        is_float(t) ? set_real(want, i, get_real(all[0], x) + 2 * get_real(all[1], y))
                    : set_int(want, i, get_int(all[0], x) + 2 * get_int(all[1], y));
        for (int d = at.rank() - 1; d >= 0 && ++at[d] == m.space[d]; d--) at[d] = 0;
      }
      INFO(name_of(t) << " space rank " << m.space.rank() << " last " << m.space.back());
      check_equal(all[2], want);
    }
  }
}

// softmax: two reductions and a second look at the row.
TileProgram softmax_program(int64_t rows, int64_t len) {
  const TileType f = TileType::f32;
  TileProgram p;
  p.kind = TileKind::row;
  p.space = {rows, len};
  p.buffers = {buffer_of(DType::f32, {len, 1}), buffer_of(DType::f32, {len, 1}, true),
               buffer_of(DType::f32, {1, 0}, true)};
  p.code = {load_of(0, 0, DType::f32),
            reduce_of(ReduceKind::max, 1, 0, f),
            compute_of(Prim::sub, 2, 0, 1, -1, f),
            compute_of(Prim::exp, 2, 2, -1, -1, f),
            reduce_of(ReduceKind::sum, 3, 2, f),
            compute_of(Prim::div, 4, 2, 3, -1, f),
            store_of(4, 1, DType::f32),
            store_of(3, 2, DType::f32)};
  p.registers = 5;
  return p;
}

TEST_CASE("row programs of every length") {
  auto device = cpu::make_device({2, 0});
  Source source(3);
  for (auto [rows, len] : {std::pair<int64_t, int64_t>{1, 1},
                           {3, 2},
                           {64, 10},
                           {33, 64},
                           {7, 65},
                           {50, 127},
                           {5, 600},
                           {3, 5000},
                           {2, 16384},
                           {2, 16385},
                           {3, 100001}}) {
    std::vector<Tensor> all = {source.tensor(DType::f32, {rows, len}),
                               make_tensor(DType::f32, {rows, len}),
                               make_tensor(DType::f32, {rows})};
    REQUIRE(run_kernel(*device, softmax_program(rows, len), all).ok());
    INFO(rows << "x" << len);
    Tensor want = make_tensor(DType::f32, {rows, len}), sums = make_tensor(DType::f32, {rows});
    for (int64_t r = 0; r < rows; r++) {
      double most = -INFINITY, sum = 0;
      for (int64_t i = 0; i < len; i++) most = std::max(most, get_real(all[0], r * len + i));
      for (int64_t i = 0; i < len; i++) sum += std::exp(get_real(all[0], r * len + i) - most);
      for (int64_t i = 0; i < len; i++)
        set_real(want, r * len + i, std::exp(get_real(all[0], r * len + i) - most) / sum);
      set_real(sums, r, sum);
    }
    check_close(all[1], want, 1e-6);
    check_close(all[2], sums, 4e-6);
  }
}

TEST_CASE("a row sum adds in 64 lanes and a tree") {
  auto device = cpu::make_device({1, 0});
  Source source(4);
  for (int64_t len : {5, 64, 100, 1000, 20000}) {
    TileProgram p;
    p.kind = TileKind::row, p.space = {2, len}, p.registers = 2;
    p.buffers = {buffer_of(DType::f32, {len, 1}), buffer_of(DType::f32, {1, 0}, true)};
    p.code = {load_of(0, 0, DType::f32), reduce_of(ReduceKind::sum, 1, 0, TileType::f32),
              store_of(1, 1, DType::f32)};
    std::vector<Tensor> all = {source.tensor(DType::f32, {2, len}), make_tensor(DType::f32, {2})};
    REQUIRE(run_kernel(*device, p, all).ok());
    for (int64_t r = 0; r < 2; r++) {
      float lanes[64] = {};
      for (int64_t i = 0; i < len; i++) {
        const int64_t lane = i < len / 64 * 64 ? i % 64 : i - len / 64 * 64;
        lanes[lane] += static_cast<float>(get_real(all[0], r * len + i));
      }
      for (int h = 32; h >= 1; h /= 2)
        for (int q = 0; q < h; q++) lanes[q] += lanes[q + h];
      REQUIRE(static_cast<float>(get_real(all[1], r)) == lanes[0]);
    }
  }
}

TEST_CASE("column programs") {
  auto device = cpu::make_device({2, 0});
  Source source(5);
  for (const Shape& space : {Shape{1, 1, 1}, Shape{1, 64, 10}, Shape{2, 65, 3}, Shape{3, 200, 130},
                             Shape{1, 1000, 64}, Shape{1, 300, 5000}, Shape{2, 0, 4}}) {
    for (ReduceKind kind : {ReduceKind::sum, ReduceKind::max, ReduceKind::min, ReduceKind::prod}) {
      TileProgram p;
      p.kind = TileKind::column, p.space = space, p.registers = 4;
      p.buffers = {buffer_of(DType::f32, contiguous_strides(space)),
                   buffer_of(DType::f32, {0, 1, 0}), buffer_of(DType::f32, {space[2], 0, 1}, true)};
      p.code = {load_of(0, 0, DType::f32), load_of(1, 1, DType::f32),
                compute_of(Prim::mul, 2, 0, 1, -1, TileType::f32),
                reduce_of(kind, 3, 2, TileType::f32), store_of(3, 2, DType::f32)};
      std::vector<Tensor> all = {source.tensor(DType::f32, space),
                                 source.tensor(DType::f32, {space[1]}, 0.5, 1.5),
                                 make_tensor(DType::f32, {space[0], space[2]})};
      REQUIRE(run_kernel(*device, p, all).ok());
      Tensor x = all[0];
      for (int64_t i = 0; i < space.numel(); i++)
        set_real(x, i, get_real(all[0], i) * get_real(all[1], i / space[2] % space[1]));
      auto want = reference(Prim::reduce, ReduceAttrs{kind, {1}}, {x});
      REQUIRE(want.ok());
      INFO(space[0] << " " << space[1] << " " << space[2] << " kind " << static_cast<int>(kind));
      if (kind != ReduceKind::prod || space[1] < 100) check_close(all[2], (*want)[0], 1e-4);
    }
  }
}

TEST_CASE("random numbers are Philox words of the element's index") {
  auto device = cpu::make_device({2, 0});
  for (DType t : {DType::f32, DType::f64, DType::i64, DType::bf16, DType::f16}) {
    for (const Shape& map : {Shape{1000, 1}, Shape{1, 7}}) {
      TileProgram p;
      p.space = {7, 1000}, p.registers = 4;
      p.buffers = {buffer_of(DType::i64, {0, 0}), buffer_of(DType::i64, {0, 0}),
                   buffer_of(t, {1000, 1}, true)};
      p.rng_maps = {buffer_of(t, map, false, 3)};
      TileInst rng;
      rng.op = t == DType::i64 ? TileOp::rng_bits : TileOp::rng;
      rng.dst = 2, rng.a = 0, rng.b = 1, rng.type = tile_type_of(t), rng.dtype = t;
      p.code = {load_of(0, 0, DType::i64), load_of(1, 1, DType::i64), rng, store_of(2, 2, t)};
      std::vector<Tensor> all = {make_tensor(DType::i64, {}), make_tensor(DType::i64, {}),
                                 make_tensor(t, {7, 1000})};
      const uint64_t seed = 0x123456789ABCDEF, offset = 40;
      set_int(all[0], 0, static_cast<int64_t>(seed)),
          set_int(all[1], 0, static_cast<int64_t>(offset));
      REQUIRE(run_kernel(*device, p, all).ok());
      for (int64_t i = 0; i < 7000; i++) {
        const uint64_t e = static_cast<uint64_t>(3 + i / 1000 * map[0] + i % 1000 * map[1]);
        const auto word = [&](uint64_t w) { return random_word(seed, offset, w); };
        switch (t) {
          case DType::f64:
            REQUIRE(get_real(all[2], i) == uniform_f64(word(2 * e), word(2 * e + 1)));
            break;
          case DType::i64:
            REQUIRE(get_int(all[2], i) == random_bits(word(2 * e), word(2 * e + 1)));
            break;
          case DType::f16: REQUIRE(get_real(all[2], i) == uniform_narrow(word(e), 11)); break;
          case DType::bf16: REQUIRE(get_real(all[2], i) == uniform_narrow(word(e), 8)); break;
          default: REQUIRE(get_real(all[2], i) == uniform_f32(word(e)));
        }
      }
    }
  }
}

// AdamW in place: outputs share the inputs' memory and may be written before an input's last use.
TEST_CASE("outputs in the memory of inputs") {
  auto device = cpu::make_device({2, 0});
  Source source(6);
  const TileType f = TileType::f32;
  for (int64_t n : {5, 1000, 50000}) {
    TileProgram p;
    p.space = {n}, p.registers = 8;
    for (int i = 0; i < 5; i++) p.buffers.push_back(buffer_of(DType::f32, {1}, i >= 3));
    p.code = {load_of(0, 0, DType::f32),
              load_of(1, 1, DType::f32),
              load_of(2, 2, DType::f32),
              compute_of(Prim::add, 3, 0, 1, -1, f),
              store_of(3, 3, DType::f32),  // over buffer 0
              compute_of(Prim::mul, 4, 0, 2, -1, f),
              compute_of(Prim::sub, 5, 4, 1, -1, f),
              store_of(5, 4, DType::f32)};  // over 1
    std::vector<Tensor> in;
    for (int i = 0; i < 3; i++) in.push_back(source.tensor(DType::f32, {n}));
    std::vector<Tensor> apart = in, shared = in;
    for (int i = 0; i < 2; i++)
      apart.push_back(make_tensor(DType::f32, {n})), shared.push_back(in[static_cast<size_t>(i)]);
    REQUIRE(run_kernel(*device, p, apart).ok());
    REQUIRE(run_kernel(*device, p, shared, {-1, -1, -1, 0, 1}).ok());
    check_equal(shared[3], apart[3]);
    check_equal(shared[4], apart[4]);
  }
}

}  // namespace
}  // namespace moai::test
