// How a pointwise op loads its operands, and the formulas that several families share.
#pragma once
#include <vector>

#include "src/lower/operands.h"

namespace moai::lower {

enum class Rule : uint8_t {
  native,     // the promoted dtype; f16 and bf16 only where no number takes part, which ATen keeps
              // wide
  compare,    // the promoted dtype, numbers rounded to it
  wide,       // the promoted dtype, f16 and bf16 computed in f32 and rounded once
  real,       // as native, integers become floats
  real_wide,  // as wide, integers become floats
  bits,       // as native, of integers and truth values alone
};
constexpr uint32_t dtypes_of(Rule rule) { return rule == Rule::bits ? kIntegers | kBool : kAll; }

// The operands in one dtype and shape by the rule.
// output: the one whose dtype stands for the default dtype.
std::vector<Expr> load(OpContext& c, std::span<const Operand> operands, Rule rule,
                       size_t output = 0);
std::vector<Expr> load_next(OpContext& c, int count, Rule rule);

using Unary = Expr (*)(Expr);
using Binary = Expr (*)(Expr, Expr);
using Ternary = Expr (*)(Expr, Expr, Expr);
inline void unary_op(OpContext& c, Rule rule, Unary f) { c.finish(f(load_next(c, 1, rule)[0]).v); }
inline void binary_op(OpContext& c, Rule rule, Binary f) {
  auto x = load_next(c, 2, rule);
  c.finish(f(x[0], x[1]).v);
}
inline void ternary_op(OpContext& c, Rule rule, Ternary f) {
  auto x = load_next(c, 3, rule);
  c.finish(f(x[0], x[1], x[2]).v);
}

// Formulas. bool: add is or, mul is and.
Expr asinh_of(Expr x);
Expr acosh_of(Expr x);
Expr add_of(Expr a, Expr b);
Expr mul_of(Expr a, Expr b);
Expr sign_or_zero(Expr x);  // NaN gives 0
Expr floor_divide_of(Expr a, Expr b);
Expr trunc_divide_of(Expr a, Expr b);
Expr remainder_by(Expr a, Expr b);                             // sign of the divisor
Expr power_of(Expr x, const Operand& exponent, OpContext& c);  // known exponents are multiplied out
Expr lerp_of(Expr a, Expr b, Expr weight);
Expr inf_if(Expr x, double sign);  // x is +inf or -inf
Expr true_of(Expr x);              // x != 0 as bool
Expr log_add_exp(Expr a, Expr b);
Expr log2_of(Expr x);
Expr log10_of(Expr x);
Expr clamp_min_of(Expr x, Expr lo);
Expr clamp_max_of(Expr x, Expr hi);

}  // namespace moai::lower
