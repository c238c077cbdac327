// Library kernels on the cpu device against the reference evaluator, on 1, 2, 3 and 7 threads with
// equal bits.
#include "tests/conformance/device_harness.h"

namespace moai::test {
namespace {

constexpr DType kReals[] = {DType::f32, DType::f64, DType::f16, DType::bf16};
constexpr DType kAll[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64,
                          DType::i32, DType::i16, DType::i8,  DType::u8,   DType::boolean};

Device& device_of(int threads) {
  static std::unique_ptr<Device> devices[8];
  auto& d = devices[threads];
  if (!d) d = cpu::make_device({threads, 0});
  return *d;
}
// Of the lower instruction sets.
Device& device_of(cpu::Tier tier) {
  static std::unique_ptr<Device> devices[2];
  auto& d = devices[tier == cpu::Tier::v3];
  if (!d) d = cpu::make_device({2, 0}, tier);
  return *d;
}

// Operands that the kernel takes: scatters get [index, update, output], the output holding the
// base.
bool takes_base(Prim op) {
  return op == Prim::scatter || op == Prim::scatter_along || op == Prim::update_slice;
}

// Runs op on every thread count; compares with the evaluator and between thread counts. bound 0:
// bits.
void check_kernel(Prim op, const Attrs& attrs, const std::vector<Tensor>& inputs, double bound,
                  Type hint = {}) {
  auto want = reference(op, attrs, inputs, hint);
  INFO(info(op).name << " " << name_of(inputs[0].type.dtype) << " " << want.status().to_string());
  REQUIRE(want.ok());
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 7}) {
    LibraryKernel kernel = {op, attrs, {}};
    std::vector<Tensor> tensors(inputs.begin() + (takes_base(op) ? 1 : 0), inputs.end());
    for (const Tensor& t : tensors) kernel.operands.push_back(operand_of(t, false));
    const size_t outputs = tensors.size();
    for (const Tensor& t : *want) {
      tensors.push_back(takes_base(op) ? inputs[0] : make_tensor(t.type.dtype, t.type.shape));
      kernel.operands.push_back(operand_of(tensors.back(), true));
    }
    const Status s = run_kernel(device_of(threads), kernel, tensors);
    INFO(s.to_string());
    REQUIRE(s.ok());
    for (size_t i = 0; i < want->size(); i++) {
      const Tensor& got = tensors[outputs + i];
      INFO("result " << i << " threads " << threads);
      if (threads > 1)
        check_equal(got, first[i]);
      else
        first.push_back(got),
            bound == 0 ? check_close(got, (*want)[i], 0) : check_close(got, (*want)[i], bound);
    }
  }
}

// The same with the bodies of the lower instruction sets.
void check_tiers(Prim op, const Attrs& attrs, const std::vector<Tensor>& inputs, Type hint = {}) {
  auto want = reference(op, attrs, inputs, hint);
  REQUIRE(want.ok());
  for (cpu::Tier tier : {cpu::Tier::base, cpu::Tier::v3}) {
    LibraryKernel kernel = {op, attrs, {}};
    std::vector<Tensor> tensors = inputs;
    for (const Tensor& t : *want) tensors.push_back(make_tensor(t.type.dtype, t.type.shape));
    for (size_t i = 0; i < tensors.size(); i++)
      kernel.operands.push_back(operand_of(tensors[i], i >= inputs.size()));
    INFO(info(op).name << " tier " << static_cast<int>(tier));
    REQUIRE(run_kernel(device_of(tier), kernel, tensors).ok());
    for (size_t i = 0; i < want->size(); i++)
      check_close(tensors[inputs.size() + i], (*want)[i], 0);
  }
}

TEST_CASE("dot_general: sums of exact products are exact") {
  Source source(1);
  struct Case {
    Shape a, b;
    DotAttrs attrs;
  };
  const Case cases[] = {
      {{3, 4}, {4, 5}, {{}, {}, {1}, {0}}},
      {{1, 1}, {1, 1}, {{}, {}, {1}, {0}}},
      {{37, 65}, {65, 70}, {{}, {}, {1}, {0}}},
      {{65, 37}, {70, 65}, {{}, {}, {0}, {1}}},
      {{8, 300}, {33, 300}, {{}, {}, {1}, {1}}},
      {{5, 9, 7}, {5, 7, 11}, {{0}, {0}, {2}, {1}}},
      {{2, 9, 3, 7}, {7, 2, 11, 3}, {{0, 2}, {1, 3}, {3}, {0}}},
      {{4, 5, 6}, {6, 5, 3}, {{}, {}, {1, 2}, {1, 0}}},
      {{6}, {6}, {{}, {}, {0}, {0}}},
      {{6}, {4}, {{}, {}, {}, {}}},
      {{0, 4}, {4, 3}, {{}, {}, {1}, {0}}},
      {{3, 0}, {0, 5}, {{}, {}, {1}, {0}}},
      {{120, 600}, {600, 300}, {{}, {}, {1}, {0}}},
      {{1, 70}, {70, 1500}, {{}, {}, {1}, {0}}},
      {{8, 77}, {40, 77}, {{}, {}, {1}, {1}}},
      {{5, 100}, {17, 100}, {{}, {}, {1}, {1}}},
  };
  for (DType t : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32,
                  DType::i8, DType::u8})
    for (const Case& c : cases) {
      if (c.a.numel() > 10000 && t != DType::f32 && t != DType::bf16) continue;
      const int64_t most = t == DType::u8 ? 0 : 8;
      Tensor a = source.quarters(t, c.a, most), b = source.quarters(t, c.b, most);
      if (t == DType::u8) a = source.indices(t, c.a, 9), b = source.indices(t, c.b, 9);
      check_kernel(Prim::dot_general, c.attrs, {a, b}, 0);
    }
}

TEST_CASE("dot_general of a transposed view") {
  Source source(2);
  Tensor a = source.quarters(DType::f32, {40, 30}), b = source.quarters(DType::f32, {50, 30});
  auto want = reference(Prim::dot_general, DotAttrs{{}, {}, {0}, {1}},
                        {source.quarters(DType::f32, {30, 40}), b});
  REQUIRE(want.ok());
  // a read as [30, 40]: strides (1, 30), from its second row on.
  LibraryKernel k = {Prim::dot_general, DotAttrs{{}, {}, {0}, {1}}, {}};
  k.operands = {{DType::f32, {30, 39}, {1, 30}, 30, false},
                operand_of(b, false),
                {DType::f32, {39, 50}, {50, 1}, 0, true}};
  std::vector<Tensor> all = {a, b, make_tensor(DType::f32, {39, 50})};
  REQUIRE(run_kernel(device_of(2), k, all).ok());
  for (int64_t i = 0; i < 39; i++)
    for (int64_t j = 0; j < 50; j++) {
      double sum = 0;
      for (int64_t p = 0; p < 30; p++)
        sum += get_real(a, (i + 1) * 30 + p) * get_real(b, j * 30 + p);
      REQUIRE(get_real(all[2], i * 50 + j) == sum);
    }
}

struct ConvCase {
  Shape x, w;
  ConvAttrs attrs;
};
const ConvCase kConvCases[] = {
    {{2, 3, 9}, {4, 3, 3}, {{1}, {1}, {1}, {1}, {1}, 1, false}},
    {{2, 3, 9, 8}, {5, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 4, 11, 7}, {6, 4, 1, 1}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 1, false}},
    {{3, 4, 12, 13}, {6, 2, 3, 2}, {{2, 3}, {1, 0}, {0, 2}, {2, 1}, {1, 1}, 2, false}},
    {{2, 6, 8, 8}, {6, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 6, false}},
    {{1, 2, 5, 6, 7},
     {3, 2, 2, 3, 2},
     {{1, 2, 1}, {0, 1, 0}, {1, 1, 0}, {1, 1, 2}, {1, 1, 1}, 1, false}},
    {{1, 3, 40, 40}, {20, 3, 7, 7}, {{2, 2}, {3, 3}, {3, 3}, {1, 1}, {1, 1}, 1, false}},
    {{3, 6, 9, 41}, {20, 3, 1, 1}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 2, false}},
    {{2, 5, 9, 8}, {4, 5, 1, 1}, {{2, 3}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 1, false}},
    // Few outputs a group: depthwise, in several blocks, with strides and dilation.
    {{3, 8, 9, 21}, {8, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 8, false}},
    {{3, 9, 10, 13}, {18, 1, 5, 3}, {{2, 3}, {2, 1}, {2, 0}, {1, 2}, {1, 1}, 9, false}},
    {{2, 16, 7, 6}, {8, 2, 2, 3}, {{2, 1}, {0, 2}, {1, 2}, {1, 1}, {1, 1}, 8, false}},
    {{1, 8, 40, 900}, {8, 1, 2, 1}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 8, false}},
    {{1, 8, 33000}, {8, 1, 2}, {{1}, {0}, {1}, {1}, {1}, 8, false}},
    // Several blocks of images, the last one not full; of rows; of one row.
    {{37, 2, 6, 7}, {40, 2, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 2, 31, 45}, {17, 2, 3, 4}, {{1, 1}, {1, 2}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 3, 1500}, {5, 3, 5}, {{1}, {2}, {2}, {1}, {1}, 1, false}},
};

TEST_CASE("conv on multiples of 1/4 is exact") {
  Source source(3);
  for (DType t : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32})
    for (const ConvCase& c : kConvCases)
      check_kernel(Prim::conv, c.attrs, {source.quarters(t, c.x, 4), source.quarters(t, c.w, 4)},
                   0);
  for (DType t : {DType::f32, DType::f64, DType::i32})
    for (const ConvCase& c : kConvCases)
      check_tiers(Prim::conv, c.attrs, {source.quarters(t, c.x, 4), source.quarters(t, c.w, 4)});
  // Data gradients: kernels read backwards, zeros between elements.
  for (int64_t lhs : {1, 2, 3})
    for (int64_t stride : {1, 2}) {
      const ConvAttrs a = {{stride, 1}, {2, 1}, {3, 1}, {1, 2}, {lhs, 2}, 1, true};
      check_kernel(
          Prim::conv, a,
          {source.quarters(DType::f32, {2, 3, 7, 6}), source.quarters(DType::f32, {4, 3, 3, 2})},
          0);
    }
  // Of depthwise convolutions.
  for (int64_t lhs : {1, 2})
    check_kernel(
        Prim::conv, ConvAttrs{{1, 1}, {2, 1}, {2, 2}, {1, 1}, {lhs, lhs}, 5, true},
        {source.quarters(DType::f32, {2, 5, 7, 9}), source.quarters(DType::f32, {5, 1, 3, 3})}, 0);
  // The same in several blocks.
  for (int64_t lhs : {2, 3}) {
    const ConvAttrs rows = {{1, 1}, {2, 1}, {3, 1}, {1, 1}, {lhs, 2}, 1, true},
                    row = {{1}, {4}, {3}, {1}, {lhs}, 1, true};
    check_kernel(
        Prim::conv, rows,
        {source.quarters(DType::f32, {2, 3, 17, 26}), source.quarters(DType::f32, {18, 3, 3, 2})},
        0);
    check_kernel(Prim::conv, row,
                 {source.quarters(DType::f32, {2, 3, 701}), source.quarters(DType::f32, {4, 3, 5})},
                 0);
  }
}

TEST_CASE("conv of strided operands") {
  Source source(4);
  // x channels-last, w with its first two axes exchanged.
  const Tensor x = source.quarters(DType::f32, {2, 9, 8, 3}),
               w = source.quarters(DType::f32, {3, 5, 3, 3});
  Tensor xc = make_tensor(DType::f32, {2, 3, 9, 8}), wc = make_tensor(DType::f32, {5, 3, 3, 3});
  for (int64_t n = 0; n < 2; n++)
    for (int64_t c = 0; c < 3; c++)
      for (int64_t p = 0; p < 72; p++)
        set_real(xc, (n * 3 + c) * 72 + p, get_real(x, (n * 72 + p) * 3 + c));
  for (int64_t o = 0; o < 5; o++)
    for (int64_t c = 0; c < 3; c++)
      for (int64_t q = 0; q < 9; q++)
        set_real(wc, (o * 3 + c) * 9 + q, get_real(w, (c * 5 + o) * 9 + q));
  const ConvAttrs a = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false};
  auto want = reference(Prim::conv, a, {xc, wc});
  REQUIRE(want.ok());
  LibraryKernel k = {Prim::conv, a, {}};
  k.operands = {{DType::f32, {2, 3, 9, 8}, {216, 1, 24, 3}, 0, false},
                {DType::f32, {5, 3, 3, 3}, {9, 45, 3, 1}, 0, false},
                {DType::f32, {2, 5, 9, 8}, {360, 72, 8, 1}, 0, true}};
  std::vector<Tensor> all = {x, w, make_tensor(DType::f32, {2, 5, 9, 8})};
  REQUIRE(run_kernel(device_of(2), k, all).ok());
  check_close(all[2], (*want)[0], 0);
  // Windows read by columns.
  for (int64_t i = 0; i < 15; i++)
    for (int64_t q = 0; q < 9; q++)
      set_real(wc, i * 9 + q, get_real(w, (i % 3 * 5 + i / 3) * 9 + q % 3 * 3 + q / 3));
  want = reference(Prim::conv, a, {xc, wc});
  REQUIRE(want.ok());
  k.operands[1].strides = {9, 45, 1, 3};
  REQUIRE(run_kernel(device_of(2), k, all).ok());
  check_close(all[2], (*want)[0], 0);
}

TEST_CASE("conv_wgrad on multiples of 1/4 is exact") {
  Source source(5);
  for (DType t : {DType::f32, DType::f64, DType::bf16, DType::i32})
    for (const ConvCase& c : kConvCases) {
      const Tensor x = source.quarters(t, c.x, 4);
      auto y = reference(Prim::conv, c.attrs, {x, source.quarters(t, c.w, 4)});
      REQUIRE(y.ok());
      const Tensor dy = source.quarters(t, (*y)[0].type.shape, 4);
      check_kernel(Prim::conv_wgrad, c.attrs, {x, dy}, t == DType::bf16 ? 1e-2 : 0, {t, c.w});
      if (t != DType::bf16) check_tiers(Prim::conv_wgrad, c.attrs, {x, dy}, {t, c.w});
    }
}

TEST_CASE("conv_wgrad of a gradient that is one number") {
  Source source(14);
  const ConvAttrs a = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false};
  const Tensor x = source.quarters(DType::f32, {2, 3, 9, 8});
  Tensor dy = make_tensor(DType::f32, {2, 5, 9, 8}), one = make_tensor(DType::f32, {2});
  for (int64_t i = 0; i < dy.type.shape.numel(); i++) set_real(dy, i, 0.75);
  set_real(one, 0, 9), set_real(one, 1, 0.75);
  auto want = reference(Prim::conv_wgrad, a, {x, dy}, {DType::f32, {5, 3, 3, 3}});
  REQUIRE(want.ok());
  LibraryKernel k = {Prim::conv_wgrad, a, {}};
  std::vector<Tensor> all = {x, one, make_tensor(DType::f32, {5, 3, 3, 3})};
  k.operands = {operand_of(x, false),
                {DType::f32, {2, 5, 9, 8}, {0, 0, 0, 0}, 1, false},
                operand_of(all[2], true)};
  REQUIRE(run_kernel(device_of(2), k, all).ok());
  check_close(all[2], (*want)[0], 0);
}

TEST_CASE("gather, take_along") {
  Source source(6);
  for (DType t : kAll)
    for (DType i : {DType::i64, DType::i32}) {
      check_kernel(Prim::gather, IndexAttrs{0},
                   {source.tensor(t, {7, 5}, 0, 3), source.indices(i, {4, 3}, 7)}, 0);
      check_kernel(Prim::gather, IndexAttrs{1},
                   {source.tensor(t, {3, 6, 2}, 0, 3), source.indices(i, {9}, 6)}, 0);
      check_kernel(Prim::gather, IndexAttrs{1},
                   {source.tensor(t, {3, 6}, 0, 3), source.indices(i, {0}, 6)}, 0);
      check_kernel(Prim::take_along, IndexAttrs{1},
                   {source.tensor(t, {3, 6, 2}, 0, 3), source.indices(i, {3, 4, 2}, 6)}, 0);
    }
  Tensor wild = source.indices(DType::i64, {5}, 7);
  set_int(wild, 2, -3), set_int(wild, 3, 99);
  check_kernel(Prim::gather, IndexAttrs{0, ScatterKind::set, Bounds::clip},
               {source.tensor(DType::f32, {7, 5}), wild}, 0);
}

TEST_CASE("scatter, scatter_along") {
  Source source(7);
  for (DType t : kAll)
    for (ScatterKind kind : {ScatterKind::set, ScatterKind::add, ScatterKind::mul, ScatterKind::max,
                             ScatterKind::min}) {
      if (t == DType::boolean && (kind == ScatterKind::add || kind == ScatterKind::mul)) continue;
      const double bound = t == DType::bf16 ? 0.2 : t == DType::f16 ? 0.05 : is_float(t) ? 1e-5 : 0;
      check_kernel(Prim::scatter, IndexAttrs{0, kind},
                   {source.tensor(t, {7, 5}, 0, 3), source.indices(DType::i64, {4}, 7),
                    source.tensor(t, {4, 5}, 0, 3)},
                   bound);
      check_kernel(Prim::scatter, IndexAttrs{1, kind},
                   {source.tensor(t, {2, 7, 3}, 0, 3), source.indices(DType::i32, {2, 2}, 7),
                    source.tensor(t, {2, 2, 2, 3}, 0, 3)},
                   bound);
      check_kernel(Prim::scatter_along, IndexAttrs{1, kind},
                   {source.tensor(t, {3, 6, 2}, 0, 3), source.indices(DType::i64, {3, 4, 2}, 6),
                    source.tensor(t, {3, 4, 2}, 0, 3)},
                   bound);
    }
  check_kernel(Prim::scatter, IndexAttrs{0, ScatterKind::add},
               {source.tensor(DType::f32, {50, 64}), source.indices(DType::i64, {3000}, 50),
                source.tensor(DType::f32, {3000, 64})},
               1e-4);
}

TEST_CASE("an index outside is an error and writes nothing") {
  Source source(8);
  for (Prim op : {Prim::gather, Prim::take_along, Prim::scatter, Prim::scatter_along})
    for (int64_t bad : {int64_t{-1}, int64_t{7}, INT64_MIN, INT64_MAX}) {
      Tensor index = source.indices(DType::i64, {5}, 7);
      set_int(index, 3, bad);
      const Tensor x = source.tensor(DType::f32, {7}), row = source.tensor(DType::f32, {5});
      const bool is_scatter = op == Prim::scatter || op == Prim::scatter_along;
      std::vector<Tensor> all = {is_scatter ? index : x, is_scatter ? row : index,
                                 is_scatter ? x : row};
      LibraryKernel k = {op, IndexAttrs{0, ScatterKind::add}, {}};
      for (const Tensor& t : all) k.operands.push_back(operand_of(t, &t == &all[2]));
      const Status s = run_kernel(device_of(2), k, all);
      REQUIRE(s.code() == StatusCode::out_of_range);
      REQUIRE(s.message().find(std::string(info(op).name)) != std::string::npos);
      REQUIRE(s.message().find(std::to_string(bad)) != std::string::npos);
    }
}

TEST_CASE("update_slice") {
  Source source(9);
  for (DType t : kAll) {
    check_kernel(Prim::update_slice, SliceAttrs{{1, 2}, {2, 1}},
                 {source.tensor(t, {8, 9}, 0, 3), source.tensor(t, {3, 4}, 0, 3)}, 0);
    check_kernel(Prim::update_slice, SliceAttrs{{0, 1}, {1, 3}},
                 {source.tensor(t, {4, 9}, 0, 3), source.tensor(t, {4, 3}, 0, 3)}, 0);
    check_kernel(Prim::update_slice, SliceAttrs{},
                 {source.tensor(t, {}, 0, 3), source.tensor(t, {}, 0, 3)}, 0);
  }
}

TEST_CASE("windows") {
  Source source(10);
  const WindowAttrs cases[] = {
      {ReduceKind::max, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}},
      {ReduceKind::max, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
      {ReduceKind::sum, {2, 3}, {1, 2}, {2, 1}, {1, 0}, {0, 1}},
      {ReduceKind::min, {3}, {1}, {1}, {1}, {1}},
      {ReduceKind::max, {2, 2, 2}, {1, 2, 1}, {1, 1, 2}, {0, 1, 0}, {1, 0, 0}},
  };
  for (DType t : kAll)
    for (const WindowAttrs& a : cases) {
      if (t == DType::boolean && a.kind == ReduceKind::sum) continue;
      const Tensor x = source.tensor(t, {2, 3, 6, 9, 7}, 0, 9);
      check_kernel(Prim::reduce_window, a, {x}, is_float(t) ? rounding_of(t) : 0);
      if (a.kind == ReduceKind::max) check_kernel(Prim::max_pool_idx, a, {x}, 0);
    }
  // Rows longer than a vector, and what is not a number.
  for (const WindowAttrs& a : {cases[0], cases[1]}) {
    Tensor x = source.tensor(DType::f32, {2, 9, 75}, 0, 9);
    for (int64_t i : {3, 80, 700}) set_real(x, i, NAN);
    for (int64_t i : {5, 6, 300, 301, 375, 376}) set_real(x, i, -INFINITY);
    check_kernel(Prim::max_pool_idx, a, {x}, 0);
    check_tiers(Prim::max_pool_idx, a, {x});
  }
}

TEST_CASE("scatter into zeros that it makes itself") {
  Source source(13);
  for (DType t : {DType::f32, DType::bf16, DType::i64})
    for (Prim op : {Prim::scatter, Prim::scatter_along})
      for (const Shape& index_shape : {Shape{4, 6}, Shape{0, 6}}) {
        const Shape shape{9, 6}, taken = op == Prim::scatter ? Shape{index_shape[0]} : index_shape;
        const Tensor index = source.indices(DType::i64, taken, 9),
                     update = source.tensor(t, index_shape, 0, 9);
        const IndexAttrs attrs = {0, ScatterKind::add, Bounds::error};
        auto want = reference(op, attrs, {make_tensor(t, shape), index, update});
        REQUIRE(want.ok());
        LibraryKernel kernel = {op, attrs, {}, true};
        std::vector<Tensor> tensors = {index, update, source.tensor(t, shape, 1, 9)};
        for (size_t i = 0; i < 3; i++) kernel.operands.push_back(operand_of(tensors[i], i == 2));
        REQUIRE(run_kernel(device_of(2), kernel, tensors).ok());
        check_close(tensors[2], (*want)[0], t == DType::bf16 ? rounding_of(t) : 0);
      }
}

TEST_CASE("scans, arg_reduce") {
  Source source(11);
  for (DType t : kAll) {
    Tensor x = source.tensor(t, {3, 40, 5}, 0, 4);
    if (is_float(t)) set_real(x, 77, NAN);
    for (ReduceKind kind : {ReduceKind::sum, ReduceKind::prod, ReduceKind::max, ReduceKind::min,
                            ReduceKind::logsumexp}) {
      if (kind == ReduceKind::logsumexp && !is_float(t)) continue;
      if (t == DType::boolean && (kind == ReduceKind::sum || kind == ReduceKind::prod)) continue;
      for (int64_t axis : {0, 1, 2})
        check_kernel(Prim::scan, ScanAttrs{kind, axis}, {x}, is_float(t) ? 2 * rounding_of(t) : 0);
      if (kind != ReduceKind::max && kind != ReduceKind::min) continue;
      for (int64_t axis : {0, 1, 2}) {
        check_kernel(Prim::scan_arg, ScanAttrs{kind, axis}, {x}, 0);
        check_kernel(Prim::arg_reduce, ScanAttrs{kind, axis}, {x}, 0);
      }
    }
  }
}

TEST_CASE("sort, topk, nonzero") {
  Source source(12);
  for (DType t : kAll)
    for (const Shape& shape : {Shape{2, 7, 3}, Shape{1, 500, 2}, Shape{3, 1, 1}}) {
      Tensor x = source.tensor(t, shape, 0, 50);
      if (is_float(t)) set_real(x, 0, NAN), set_real(x, shape.numel() - 1, -0.0);
      for (bool descending : {false, true}) {
        check_kernel(Prim::sort, SortAttrs{1, 0, descending}, {x}, 0);
        check_kernel(Prim::topk, SortAttrs{1, 1, descending}, {x}, 0);
        if (shape[1] > 4) check_kernel(Prim::topk, SortAttrs{1, 5, descending}, {x}, 0);
      }
      check_kernel(Prim::nonzero, NoAttrs(), {source.tensor(t, shape, 0, 2)}, 0,
                   {DType::i64, {shape.numel() / 2, 3}});
    }
}

TEST_CASE("attention, forward and backward") {
  Source source(13);
  struct Case {
    int64_t batch, heads, groups, queries, keys, width, value_width;
    SdpaAttrs attrs;
    Shape bias;
  };
  const Case cases[] = {
      {2, 3, 3, 5, 7, 8, 8, {0.35, 0, false, false}, {}},
      {1, 4, 2, 70, 70, 16, 24, {0.25, 0, true, false}, {}},
      {2, 2, 1, 33, 300, 20, 12, {0.2, 0.2, false, true}, {33, 300}},
      {1, 2, 2, 40, 40, 8, 8, {0.3, 0, true, true}, {1, 2, 1, 40}},
      {1, 1, 1, 9, 20, 4, 4, {-0.3, 0.5, true, false}, {}},
      {2, 9, 9, 150, 17, 8, 40, {0.3, 0, true, false}, {}},
      // A few queries: as in decoding.
      {1, 4, 4, 1, 300, 64, 64, {0.125, 0, false, false}, {}},
      {2, 8, 2, 1, 131, 20, 12, {0.2, 0, false, true}, {2, 8, 1, 131}},
      {1, 4, 2, 4, 260, 16, 24, {0.25, 0, true, true}, {4, 260}},
      {1, 3, 1, 2, 1, 8, 8, {-0.3, 0, false, false}, {}},
      {1, 2, 2, 1, 40, 8, 8, {0.3, 0.4, false, false}, {}},
  };
  for (DType t : kReals)
    for (const Case& c : cases) {
      std::vector<Tensor> in = {
          source.tensor(t, {c.batch, c.heads, c.queries, c.width}, -1, 1),
          source.tensor(t, {c.batch, c.groups, c.keys, c.width}, -1, 1),
          source.tensor(t, {c.batch, c.groups, c.keys, c.value_width}, -1, 1)};
      std::vector<Tensor> rest;
      if (c.attrs.has_bias) rest.push_back(source.tensor(t, c.bias, -1, 1));
      for (int i = 0; i < 2 && c.attrs.dropout > 0; i++)
        rest.push_back(source.indices(DType::i64, {}, 1000));
      const double bound = t == DType::f64 ? 1e-6 : t == DType::f32 ? 2e-5 : 4 * rounding_of(t);
      std::vector<Tensor> all = in;
      all.insert(all.end(), rest.begin(), rest.end());
      check_kernel(Prim::sdpa, c.attrs, all, bound);
      auto forward = reference(Prim::sdpa, c.attrs, all);
      REQUIRE(forward.ok());
      all = {source.tensor(t, (*forward)[0].type.shape, -1, 1),
             in[0],
             in[1],
             in[2],
             (*forward)[0],
             (*forward)[1]};
      all.insert(all.end(), rest.begin(), rest.end());
      check_kernel(Prim::sdpa_bwd, c.attrs, all, bound);
    }
}

TEST_CASE("attention without a key is NaN") {
  Source source(14);
  Tensor bias = source.tensor(DType::f32, {3, 5});
  for (int64_t j = 0; j < 5; j++) set_real(bias, 5 + j, -INFINITY);
  check_kernel(Prim::sdpa, SdpaAttrs{0.5, 0, false, true},
               {source.tensor(DType::f32, {1, 1, 3, 4}), source.tensor(DType::f32, {1, 1, 5, 4}),
                source.tensor(DType::f32, {1, 1, 5, 4}), bias},
               1e-5);
}

}  // namespace
}  // namespace moai::test
