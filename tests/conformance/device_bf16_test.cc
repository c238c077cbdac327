// Contractions of bf16 by every way that this processor has to multiply it: exact where sums are,
// with equal bits on 1, 2, 3 and 7 threads.
#include "tests/conformance/device_harness.h"

namespace moai::test {
namespace {

using cpu::Bf16Unit;
constexpr Bf16Unit kUnits[] = {Bf16Unit::none, Bf16Unit::avx512, Bf16Unit::amx};
constexpr int kThreads[] = {1, 2, 3, 7};

Device& device_of(Bf16Unit unit, int threads) {
  static std::unique_ptr<Device> devices[3][8];
  auto& d = devices[static_cast<int>(unit)][threads];
  if (!d) d = cpu::make_device({threads, 0}, cpu::Tier::v4, unit);
  return *d;
}

// tensors: inputs, then the result that is wanted.
void check_operands(const LibraryKernel& kernel, const std::vector<Tensor>& tensors, double bound) {
  for (Bf16Unit unit : kUnits) {
    if (!cpu::has_bf16_unit(unit)) continue;
    Tensor first;
    for (int threads : kThreads) {
      std::vector<Tensor> all = tensors;
      all.back() = make_tensor(tensors.back().type.dtype, tensors.back().type.shape);
      const Status s = run_kernel(device_of(unit, threads), kernel, all);
      INFO(info(kernel.op).name << " by " << cpu::name_of(unit) << ", threads " << threads << " "
                                << s.to_string());
      REQUIRE(s.ok());
      if (threads > 1) {
        check_equal(all.back(), first);
        continue;
      }
      first = all.back();
      check_close(first, tensors.back(), bound);
    }
  }
}
void check_units(Prim op, const Attrs& attrs, const std::vector<Tensor>& inputs, double bound,
                 Type hint = {}) {
  auto want = reference(op, attrs, inputs, hint);
  INFO(want.status().to_string());
  REQUIRE(want.ok());
  LibraryKernel kernel = {op, attrs, {}};
  std::vector<Tensor> tensors = inputs;
  for (const Tensor& t : inputs) kernel.operands.push_back(operand_of(t, false));
  tensors.push_back((*want)[0]);
  kernel.operands.push_back(operand_of(tensors.back(), true));
  check_operands(kernel, tensors, bound);
}

TEST_CASE("a device says which unit multiplies bf16") {
  for (Bf16Unit unit : kUnits) {
    const std::string name = cpu::make_device({1, 0}, cpu::Tier::v4, unit)->info().name;
    INFO(name);
    if (unit != Bf16Unit::none && cpu::has_bf16_unit(unit))
      CHECK(name.find(cpu::name_of(unit)) != std::string::npos);
    else if (unit == Bf16Unit::none)
      CHECK(name.find('+') == std::string::npos);
    // Lower instruction sets have none.
    CHECK(cpu::make_device({1, 0}, cpu::Tier::v3, unit)->info().name.find('+') ==
          std::string::npos);
  }
  CHECK(cpu::has_bf16_unit(cpu::best_bf16_unit()));
}

// A result of bf16 rounds the exact sum once.
TEST_CASE("bf16 matrices of every size near a tile") {
  Source source(21);
  for (int64_t m : {1, 15, 16, 17, 33, 130})
    for (int64_t n : {1, 16, 31, 48, 257})
      for (int64_t k : {0, 1, 2, 31, 32, 33, 65, 515})
        check_units(
            Prim::dot_general, DotAttrs{{}, {}, {1}, {0}},
            {source.quarters(DType::bf16, {m, k}, 2), source.quarters(DType::bf16, {k, n}, 2)}, 0);
}

TEST_CASE("bf16 matrices with their axes in every order") {
  Source source(22);
  for (bool a_by_columns : {false, true})
    for (bool b_by_columns : {false, true}) {
      const Shape a = a_by_columns ? Shape{70, 45} : Shape{45, 70},
                  b = b_by_columns ? Shape{50, 70} : Shape{70, 50};
      check_units(Prim::dot_general,
                  DotAttrs{{}, {}, {a_by_columns ? 0 : 1}, {b_by_columns ? 1 : 0}},
                  {source.quarters(DType::bf16, a, 4), source.quarters(DType::bf16, b, 4)}, 0);
      const Shape many_a = a_by_columns ? Shape{5, 70, 45} : Shape{5, 45, 70},
                  many_b = b_by_columns ? Shape{5, 50, 70} : Shape{5, 70, 50};
      check_units(
          Prim::dot_general, DotAttrs{{0}, {0}, {a_by_columns ? 1 : 2}, {b_by_columns ? 2 : 1}},
          {source.quarters(DType::bf16, many_a, 4), source.quarters(DType::bf16, many_b, 4)}, 0);
    }
  // Groups of axes that are not evenly spaced.
  check_units(Prim::dot_general, DotAttrs{{0, 2}, {1, 3}, {3}, {0}},
              {source.quarters(DType::bf16, {2, 9, 3, 7}, 4),
               source.quarters(DType::bf16, {7, 2, 11, 3}, 4)},
              0);
  check_units(
      Prim::dot_general, DotAttrs{{}, {}, {1, 2}, {1, 0}},
      {source.quarters(DType::bf16, {4, 5, 6}, 4), source.quarters(DType::bf16, {6, 5, 3}, 4)}, 0);
}

// Both steps of an operand above one, elements between that are no numbers, and an f32 result.
TEST_CASE("bf16 operands of any strides, exact in f32") {
  Source source(23);
  const int64_t m = 37, n = 41, k = 77;
  Tensor a = source.quarters(DType::bf16, {m, k}), b = source.quarters(DType::bf16, {k, n}),
         wide_a = make_tensor(DType::bf16, {m * 3, k * 2}),
         wide_b = make_tensor(DType::bf16, {n, k, 2}), want = make_tensor(DType::f32, {m, n});
  for (int64_t i = 0; i < wide_a.type.shape.numel(); i++) set_real(wide_a, i, NAN);
  for (int64_t i = 0; i < wide_b.type.shape.numel(); i++) set_real(wide_b, i, NAN);
  for (int64_t i = 0; i < m; i++)
    for (int64_t p = 0; p < k; p++)
      set_real(wide_a, i * 3 * k * 2 + p * 2 + 1, get_real(a, i * k + p));
  for (int64_t p = 0; p < k; p++)
    for (int64_t j = 0; j < n; j++) set_real(wide_b, (j * k + p) * 2, get_real(b, p * n + j));
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t p = 0; p < k; p++) sum += get_real(a, i * k + p) * get_real(b, p * n + j);
      set_real(want, i * n + j, sum);
    }
  LibraryKernel kernel = {Prim::dot_general, DotAttrs{{}, {}, {1}, {0}}, {}};
  kernel.operands = {{DType::bf16, {m, k}, {3 * k * 2, 2}, 1, false},
                     {DType::bf16, {k, n}, {2, k * 2}, 0, false},
                     operand_of(want, true)};
  check_operands(kernel, {wide_a, wide_b, want}, 0);
}

struct ConvCase {
  Shape x, w;
  ConvAttrs attrs;
};
// Results are exact in f32 and rounded once: forward and gradient of the input.
const ConvCase kConvCases[] = {
    {{2, 3, 9}, {6, 3, 3}, {{1}, {1}, {1}, {1}, {1}, 1, false}},
    {{2, 3, 9, 8}, {5, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{3, 40, 7, 7}, {70, 40, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 70, 4, 4}, {300, 70, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 33, 11, 7}, {17, 33, 1, 1}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 1, false}},
    {{2, 33, 11, 7}, {17, 33, 1, 1}, {{2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, 1, false}},
    {{3, 4, 12, 13}, {12, 2, 3, 2}, {{2, 3}, {1, 0}, {0, 2}, {2, 1}, {1, 1}, 2, false}},
    {{1, 2, 5, 6, 7},
     {5, 2, 2, 3, 2},
     {{1, 2, 1}, {0, 1, 0}, {1, 1, 0}, {1, 1, 2}, {1, 1, 1}, 1, false}},
    {{1, 3, 40, 40}, {20, 3, 7, 7}, {{2, 2}, {3, 3}, {3, 3}, {1, 1}, {1, 1}, 1, false}},
    {{37, 2, 6, 7}, {40, 2, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 2, 31, 45}, {17, 2, 3, 4}, {{1, 1}, {1, 2}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 3, 1500}, {5, 3, 5}, {{1}, {2}, {2}, {1}, {1}, 1, false}},
    {{0, 3, 9, 8}, {5, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false}},
    {{2, 5, 7, 6}, {6, 5, 3, 2}, {{1, 1}, {2, 1}, {3, 1}, {1, 2}, {2, 2}, 1, true}},
    {{2, 5, 7, 6}, {6, 5, 3, 2}, {{2, 1}, {2, 1}, {3, 1}, {1, 1}, {3, 1}, 1, true}},
    {{2, 5, 7, 6}, {6, 5, 1, 1}, {{1, 1}, {0, 0}, {1, 1}, {1, 1}, {2, 2}, 1, true}},
    {{2, 6, 17, 26}, {18, 3, 3, 2}, {{1, 1}, {2, 1}, {3, 1}, {1, 1}, {2, 2}, 2, true}},
};

TEST_CASE("bf16 convolutions and their gradients") {
  Source source(24);
  for (const ConvCase& c : kConvCases) {
    INFO("case " << &c - kConvCases);
    const Tensor x = source.quarters(DType::bf16, c.x, 2), w = source.quarters(DType::bf16, c.w, 2);
    check_units(Prim::conv, c.attrs, {x, w}, 0);
    if (c.attrs.flip) continue;  // a gradient of the input has no gradient of its own
    auto y = reference(Prim::conv, c.attrs, {x, w});
    REQUIRE(y.ok());
    const Tensor dy = source.quarters(DType::bf16, (*y)[0].type.shape, 2);
    check_units(Prim::conv_wgrad, c.attrs, {x, dy}, 0, {DType::bf16, c.w});
  }
}

// An image with its channels last, every other column; weights with their first axes exchanged.
TEST_CASE("bf16 convolutions of strided operands") {
  Source source(25);
  const Tensor x = source.quarters(DType::bf16, {2, 9, 16, 5}, 2),
               w = source.quarters(DType::bf16, {5, 20, 3, 3}, 2);
  Tensor xc = make_tensor(DType::bf16, {2, 5, 9, 8}), wc = make_tensor(DType::bf16, {20, 5, 3, 3});
  for (int64_t n = 0; n < 2; n++)
    for (int64_t c = 0; c < 5; c++)
      for (int64_t p = 0; p < 72; p++)
        set_real(xc, (n * 5 + c) * 72 + p, get_real(x, ((n * 9 + p / 8) * 16 + p % 8 * 2) * 5 + c));
  for (int64_t o = 0; o < 20; o++)
    for (int64_t c = 0; c < 5; c++)
      for (int64_t q = 0; q < 9; q++)
        set_real(wc, (o * 5 + c) * 9 + q, get_real(w, (c * 20 + o) * 9 + q));
  const ConvAttrs a = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, false};
  const auto want = reference(Prim::conv, a, {xc, wc});
  REQUIRE(want.ok());
  LibraryKernel k = {Prim::conv, a, {}};
  k.operands = {{DType::bf16, {2, 5, 9, 8}, {720, 1, 80, 10}, 0, false},
                {DType::bf16, {20, 5, 3, 3}, {9, 180, 3, 1}, 0, false},
                operand_of((*want)[0], true)};
  check_operands(k, {x, w, (*want)[0]}, 0);
}

}  // namespace
}  // namespace moai::test
