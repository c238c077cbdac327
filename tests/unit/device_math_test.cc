// Accuracy of the f32 functions of tile_math.h against libm in double, and their special values.
// Through a device, so that the vectors of the best instruction set are what is tested.
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "src/device/cpu/device.h"

namespace moai::cpu {
namespace {

std::vector<float> apply(Device& device, Prim op, const std::vector<float>& x) {
  const int64_t n = static_cast<int64_t>(x.size());
  TileProgram p;
  p.space = {n}, p.registers = 2;
  p.buffers = {{DType::f32, false, 0, {1}}, {DType::f32, true, 0, {1}}};
  TileInst load, compute, store;
  load.op = TileOp::load, load.dst = 0;
  compute.op = TileOp::compute, compute.prim = op, compute.dst = 1, compute.a = 0;
  store.op = TileOp::store, store.a = 1, store.imm_i = 1;
  p.code = {load, compute, store};
  Program program;
  program.kernels.push_back(p);
  program.bindings = 2;
  for (uint32_t i = 0; i < 2; i++)
    program.buffers.push_back({BufferKind::bound, 0, i, x.size() * 4});
  program.commands.push_back({0, {0, 1}});
  std::vector<float> in = x, out(x.size());
  void* bindings[] = {in.data(), out.data()};
  auto executable = device.load(program);
  REQUIRE(executable.ok());
  REQUIRE(device.run(**executable, bindings, nullptr).ok());
  return out;
}

// |got - want| in units of the last place of want.
double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : INFINITY;
  if (got == static_cast<float>(want)) return 0;
  if (std::isinf(got) || std::isinf(static_cast<float>(want))) return INFINITY;
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1.0, std::max(exponent, -125) - 24);
}

struct Function {
  Prim op;
  double (*exact)(double);
  double lo, hi, bound;
};
const Function kFunctions[] = {
    {Prim::exp, std::exp, -87, 88.7, 1.5},       {Prim::expm1, std::expm1, -40, 88.7, 2.5},
    {Prim::log, std::log, 1e-38, 1e38, 1.5},     {Prim::log, std::log, 0.5, 2, 2},
    {Prim::log1p, std::log1p, -0.999, 10, 3},    {Prim::log1p, std::log1p, -1e-3, 1e-3, 3},
    {Prim::tanh, std::tanh, -12, 12, 3},         {Prim::erf, std::erf, -5, 5, 3},
    {Prim::erf, std::erf, -1e-3, 1e-3, 2.5},     {Prim::erfc, std::erfc, -4, 9, 3},
    {Prim::sin, std::sin, -100, 100, 1.5},       {Prim::cos, std::cos, -100, 100, 1.5},
    {Prim::sin, std::sin, -1e9, 1e9, 1.5},       {Prim::tan, std::tan, -3, 3, 2},
    {Prim::asin, std::asin, -1, 1, 2},           {Prim::acos, std::acos, -1, 1, 2},
    {Prim::atan, std::atan, -50, 50, 2},         {Prim::sinh, std::sinh, -80, 80, 3},
    {Prim::cosh, std::cosh, -80, 80, 3},         {Prim::sqrt, std::sqrt, 0, 1e30, 0.51},
    {Prim::floor, std::floor, -1e6, 1e6, 0},     {Prim::round_even, std::nearbyint, -1e4, 1e4, 0},
    {Prim::expm1, std::expm1, -1e-3, 1e-3, 1.5}, {Prim::tanh, std::tanh, -1e-3, 1e-3, 2},
};

TEST_CASE("f32 functions are within their bounds of libm") {
  for (Tier tier : {Tier::base, Tier::v3, Tier::v4}) {
    auto device = make_device({1, 0}, tier);
    for (const Function& f : kFunctions) {
      std::vector<float> x;
      const int n = tier == Tier::base ? 5000 : 200000;
      const bool by_ratio = f.lo > 0 && f.hi / f.lo > 1e6;
      for (int i = 0; i <= n; i++) {
        const double t = static_cast<double>(i) / n;
        x.push_back(static_cast<float>(by_ratio ? f.lo * std::pow(f.hi / f.lo, t)
                                                : f.lo + (f.hi - f.lo) * t));
      }
      const std::vector<float> y = apply(*device, f.op, x);
      double worst = 0;
      float where = 0;
      for (size_t i = 0; i < x.size(); i++)
        if (double u = ulps(y[i], f.exact(x[i])); u > worst) worst = u, where = x[i];
      INFO(info(f.op).name << " at " << where << " on " << device->info().name << ": " << worst
                           << " ulp");
      CHECK(worst <= f.bound + (tier == Tier::base ? 1 : 0));
    }
  }
}

TEST_CASE("f32 functions of special values") {
  const float inf = INFINITY, nan = NAN;
  struct Special {
    Prim op;
    float x, want;
  };
  const Special specials[] = {
      {Prim::exp, -inf, 0},
      {Prim::exp, inf, inf},
      {Prim::exp, nan, nan},
      {Prim::exp, 0, 1},
      {Prim::exp, 89, inf},
      {Prim::exp, -104, 0},
      {Prim::exp, -88, 0},
      {Prim::exp, 1e38f, inf},
      {Prim::exp, -1e38f, 0},
      {Prim::expm1, -inf, -1},
      {Prim::expm1, inf, inf},
      {Prim::expm1, nan, nan},
      {Prim::expm1, 0, 0},
      {Prim::log, 0, -inf},
      {Prim::log, inf, inf},
      {Prim::log, -1, nan},
      {Prim::log, nan, nan},
      {Prim::log, 1, 0},
      {Prim::log, 1e-45f, std::log(1e-45f)},
      {Prim::log, -0.0f, -inf},
      {Prim::log1p, -1, -inf},
      {Prim::log1p, inf, inf},
      {Prim::log1p, nan, nan},
      {Prim::log1p, -2, nan},
      {Prim::log1p, 1e-30f, 1e-30f},
      {Prim::tanh, inf, 1},
      {Prim::tanh, -inf, -1},
      {Prim::tanh, nan, nan},
      {Prim::tanh, 0, 0},
      {Prim::erf, inf, 1},
      {Prim::erf, -inf, -1},
      {Prim::erf, nan, nan},
      {Prim::erf, 0, 0},
      {Prim::erfc, inf, 0},
      {Prim::erfc, -inf, 2},
      {Prim::erfinv, 1, inf},
      {Prim::erfinv, -1, -inf},
      {Prim::erfinv, 2, nan},
      {Prim::sin, inf, nan},
      {Prim::cos, nan, nan},
      {Prim::sqrt, -1, nan},
      {Prim::rsqrt, 0, inf},
      {Prim::rsqrt, inf, 0},
      {Prim::abs, -0.0f, 0},
      {Prim::sign, -3, -1},
      {Prim::sign, nan, nan},
  };
  for (Tier tier : {Tier::base, Tier::v3, Tier::v4}) {
    auto device = make_device({1, 0}, tier);
    for (const Special& s : specials) {
      // A vector's width and one: the loop's body and its end.
      const std::vector<float> y = apply(*device, s.op, std::vector<float>(17, s.x));
      for (float v : {y[0], y[16]}) {
        INFO(info(s.op).name << "(" << s.x << ") = " << v << " on " << device->info().name);
        CHECK((std::isnan(s.want) ? std::isnan(v) : v == s.want));
      }
    }
  }
}

}  // namespace
}  // namespace moai::cpu
