// Bodies of the pointwise primitives for one tile type: a loop around each expression of ops.def.
// Included by one file per group of types.
#pragma once
#include "src/device/cpu/tile_math.h"
#include "src/device/cpu/tile_step.h"

namespace {

using moai::Domain;
using moai::Prim;
using moai::cpu::Step;
using moai::cpu::StepFn;
using moai::cpu::Tile;

// Expr_add::apply(a, b, c): one element, with the operands that ops.def names.
#define C(x) static_cast<T>(x)
#define MOAI_POINTWISE(name, arity, domain_, rule, expression)                                 \
  struct Expr_##name {                                                                         \
    static constexpr int kArity = arity;                                                       \
    static constexpr Domain kDomain = Domain::domain_;                                         \
    template <class A, class T>                                                                \
    MOAI_INLINE auto apply([[maybe_unused]] A a, [[maybe_unused]] T b, [[maybe_unused]] T c) { \
      return expression;                                                                       \
    }                                                                                          \
  };
#include "moai/ops.def"
#undef C

template <class T>
constexpr bool is_real = false;
template <>
constexpr bool is_real<float> = true;
template <>
constexpr bool is_real<double> = true;

template <class E, class T>
constexpr bool is_allowed() {
  constexpr bool is_bool = sizeof(T) == 1;
  switch (E::kDomain) {
    case Domain::number: return !is_bool;
    case Domain::real: return is_real<T>;
    case Domain::integer: return !is_real<T>;
    case Domain::any:
    case Domain::truth: return true;
    case Domain::none: break;
  }
  return false;
}

// Comparisons give bool, stored as a byte; everything else gives T, whatever C++ promotes it to.
template <class T, class R>
struct Stored {
  using type = T;
};
template <class T>
struct Stored<T, bool> {
  using type = uint8_t;
};

// The result may be the same memory as an operand: ivdep, not restrict.
template <class E, class T, unsigned kMask>
void run_body(const Step& s, Tile& t) {
  const int64_t n = t.count[static_cast<int>(s.extent)];
  if constexpr (E::kArity == 3 && E::kDomain == Domain::any) {  // select
    auto* d = reinterpret_cast<T*>(t.slots[s.d]);
    const auto* a = reinterpret_cast<const uint8_t*>(t.slots[s.a]);
    const auto* b = reinterpret_cast<const T*>(t.slots[s.b]);
    const auto* c = reinterpret_cast<const T*>(t.slots[s.c]);
    const T b0 = *b, c0 = *c;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      const T x = kMask & 2 ? b0 : b[i], y = kMask & 4 ? c0 : c[i];
      d[i] = static_cast<T>(a[i] ? x : y);
    }
  } else {
    const auto* a = reinterpret_cast<const T*>(t.slots[s.a]);
    const auto* b = E::kArity > 1 ? reinterpret_cast<const T*>(t.slots[s.b]) : a;
    const auto* c = E::kArity > 2 ? reinterpret_cast<const T*>(t.slots[s.c]) : a;
    const T a0 = *a, b0 = *b, c0 = *c;
    using R = typename Stored<T, decltype(E::template apply<T, T>(a0, b0, c0))>::type;
    auto* d = reinterpret_cast<R*>(t.slots[s.d]);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      const T x = kMask & 1 ? a0 : a[i];
      const T y = E::kArity < 2 || kMask & 2 ? b0 : b[i];
      const T z = E::kArity < 3 || kMask & 4 ? c0 : c[i];
      d[i] = static_cast<R>(E::template apply<T, T>(x, y, z));
    }
  }
}

template <class E, class T>
StepFn find_body(unsigned mask) {
  if constexpr (!is_allowed<E, T>()) {
    return nullptr;
  } else if constexpr (E::kArity == 1) {
    return mask == 0 ? run_body<E, T, 0> : nullptr;
  } else if constexpr (E::kArity == 2) {
    constexpr StepFn k[] = {run_body<E, T, 0>, run_body<E, T, 1>, run_body<E, T, 2>};
    return mask < 3 ? k[mask] : nullptr;
  } else {
    switch (mask) {
      case 0: return run_body<E, T, 0>;
      case 2: return run_body<E, T, 2>;
      case 4: return run_body<E, T, 4>;
      case 6: return run_body<E, T, 6>;
      default: return nullptr;
    }
  }
}

template <class T>
StepFn find_pointwise(Prim op, unsigned mask) {
  switch (op) {
#define MOAI_POINTWISE(name, arity, domain, rule, expression) \
  case Prim::name: return find_body<Expr_##name, T>(mask);
#define MOAI_PRIMITIVE(name, operands, results, rule) \
  case Prim::name: break;
#include "moai/ops.def"
  }
  return nullptr;
}

}  // namespace
