// _foreach_* ops: the pointwise op once per element of the list; code generation fuses across the
// list.
#include <cmath>
#include <numbers>

#include "src/lower/pointwise.h"
#include "src/lower/reductions.h"

namespace moai::lower {
namespace {

using ir::ValueId;

// An argument that is a list, or one tensor or number for all elements.
struct Spread {
  std::vector<Operand> list;
  const Operand& operator[](size_t i) const { return list.size() == 1 ? list[0] : list[i]; }
};

Spread read_spread(OpContext& c, size_t count) {
  Spread s;
  switch (c.args.peek()) {
    case wire::Tag::tensor_list:
      for (ValueId v : c.read_list()) s.list.push_back(operand_of(c, v));
      break;
    case wire::Tag::scalar_list: {
      size_t meant = 0;
      for (const wire::ScalarArg& n : c.args.scalars(&meant)) s.list.push_back(operand_of(n));
      if (meant != count) c.fail(invalid("lists differ in length"));
      break;
    }
    default: s.list.push_back(next_operand(c));
  }
  if (s.list.size() != count && s.list.size() != 1) c.fail(invalid("lists differ in length"));
  if (s.list.empty() || !c.b.status().ok()) s.list.assign(1, Operand{});
  return s;
}

// Results in the order of the list, one output each.
class Each {
 public:
  explicit Each(OpContext& c) : c_(c) {
    for (ValueId v : c.read_list()) self_.push_back(operand_of(c, v));
  }
  size_t size() const { return self_.size(); }
  // f(i, operand i of the list): the result.
  template <class F>
  void finish(F&& f) {
    std::vector<ValueId> results;
    for (size_t i = 0; i < size() && c_.b.status().ok(); i++) results.push_back(f(i, self_[i]).v);
    if (c_.b.status().ok()) c_.finish(results);
  }

 private:
  OpContext& c_;
  std::vector<Operand> self_;
};

template <size_t n>
std::vector<Expr> load_each(OpContext& c, size_t i, Rule rule, const Operand (&operands)[n]) {
  return load(c, operands, rule, i);
}

template <Rule rule, Unary f>
void each_unary(OpContext& c) {
  Each list(c);
  list.finish([&](size_t i, const Operand& x) { return f(load_each(c, i, rule, {x})[0]); });
}

template <Rule rule, Binary f>
void each_binary(OpContext& c) {  // self, other
  Each list(c);
  Spread other = read_spread(c, list.size());
  list.finish([&](size_t i, const Operand& x) {
    auto v = load_each(c, i, rule, {x, other[i]});
    return f(v[0], v[1]);
  });
}

template <bool is_sub>
void each_sum(OpContext& c) {  // self, other [, alpha]
  Each list(c);
  Spread other = read_spread(c, list.size());
  std::optional<Operand> alpha;
  if (c.has_more()) alpha = next_operand_optional(c);
  list.finish([&](size_t i, const Operand& x) {
    auto v = load_each(c, i, alpha ? Rule::wide : Rule::native, {x, other[i]});
    if (alpha) v[1] = mul_of(v[1], as(c, *alpha, v[1].dtype(), v[1].shape()));
    return is_sub ? v[0] - v[1] : add_of(v[0], v[1]);
  });
}

void each_pow(OpContext& c) {  // self, exponent
  Each list(c);
  Spread exponent = read_spread(c, list.size());
  list.finish([&](size_t i, const Operand& x) {
    auto v = load_each(c, i, Rule::wide, {x, exponent[i]});
    return exponent[i].is_number ? power_of(v[0], exponent[i], c) : power(v[0], v[1]);
  });
}

void each_pow_of_number(OpContext& c) {  // number, exponents
  Operand base = next_operand(c);
  Each list(c);
  list.finish([&](size_t i, const Operand& e) {
    auto v = load_each(c, i, Rule::wide, {base, e});
    return power(v[0], v[1]);
  });
}

// A tensor that holds one number per element of the list, instead of a list.
Operand entry(OpContext& c, const Spread& values, size_t i) {
  const Operand& o = values[i];
  if (o.is_number || o.shape.rank() != 1) return o;
  ValueId one = c.b.slice(o.value, {static_cast<int64_t>(i)}, {1}, {1});
  return operand_of(c, c.b.reshape(one, {}));
}

template <bool divides>
void each_addc(OpContext& c) {  // self, tensor1, tensor2, value or values
  Each list(c);
  Spread first = read_spread(c, list.size()), second = read_spread(c, list.size());
  Spread values{{whole_number(1)}};
  if (c.args.peek() == wire::Tag::tensor)
    values.list = {operand_of(c, c.read_next())};
  else if (c.has_more())
    values = read_spread(c, list.size());
  list.finish([&](size_t i, const Operand& x) {
    auto v = load_each(c, i, divides ? Rule::real_wide : Rule::wide, {x, first[i], second[i]});
    Expr scaled = v[1] * as(c, entry(c, values, i), v[1].dtype(), v[1].shape());
    return v[0] + (divides ? scaled / v[2] : scaled * v[2]);
  });
}

void each_lerp(OpContext& c) {  // self, end, weight
  Each list(c);
  Spread end = read_spread(c, list.size()), weight = read_spread(c, list.size());
  list.finish([&](size_t i, const Operand& x) {
    auto v = load_each(c, i, Rule::wide, {x, end[i], weight[i]});
    return lerp_of(v[0], v[1], v[2]);
  });
}

void each_norm(OpContext& c) {  // self, ord [, dtype]
  Each list(c);
  Operand order = c.has_more() ? next_number_or(c, 2) : whole_number(2);
  list.finish([&](size_t i, const Operand& x) {
    Expr wide = as(c, x, compute_type(c.output_dtype(i)), x.shape);
    return norm_of(c, wide, order, axes_of(c, std::nullopt, x.shape.rank()), false);
  });
}

void each_max(OpContext& c) {
  Each list(c);
  list.finish([&](size_t, const Operand& x) {
    Expr v = as(c, x, x.dtype, x.shape);
    return reduce(v, ReduceKind::max, axes_of(c, std::nullopt, x.shape.rank()), false);
  });
}

void each_copy(OpContext& c) {  // self, src
  Each list(c);
  Spread src = read_spread(c, list.size());
  list.finish([&](size_t i, const Operand& x) { return as(c, src[i], x.dtype, x.shape); });
}

void each_zero(OpContext& c) {
  Each list(c);
  list.finish([&](size_t, const Operand& x) {
    return Expr{&c.b, c.b.constant(0, x.dtype, x.shape)};
  });
}

Expr rounded(Expr x, Unary f) { return is_float(x.dtype()) ? f(x) : x; }

// Both spellings: the functional name, and the in-place one.
#define EACH_UNARY(name, rule, formula)                                                \
  {"_foreach_" name, kAll, each_unary<Rule::rule, [](Expr x) { return formula; }>}, {  \
    "_foreach_" name "_", kAll, each_unary<Rule::rule, [](Expr x) { return formula; }> \
  }
#define EACH(name, overload, f) \
  {"_foreach_" name overload, kAll, f}, { "_foreach_" name "_" overload, kAll, f }
#define EACH_BINARY(name, rule, formula)                                                        \
  EACH(name, ".List", (each_binary<Rule::rule, [](Expr x, Expr y) { return formula; }>)),       \
      EACH(name, ".Scalar", (each_binary<Rule::rule, [](Expr x, Expr y) { return formula; }>)), \
      EACH(name, ".ScalarList", (each_binary<Rule::rule, [](Expr x, Expr y) { return formula; }>))

const OpRow kRows[] = {
    EACH_UNARY("abs", native, magnitude(x)),
    EACH_UNARY("acos", real, unary(Prim::acos, x)),
    EACH_UNARY("asin", real, unary(Prim::asin, x)),
    EACH_UNARY("atan", real, unary(Prim::atan, x)),
    EACH_UNARY("ceil", native, rounded(x, ceil_of)),
    EACH_UNARY("clone", native, x),
    EACH_UNARY("cos", real, cos_of(x)),
    EACH_UNARY("cosh", real, unary(Prim::cosh, x)),
    EACH_UNARY("erf", real, erf_of(x)),
    EACH_UNARY("erfc", real, unary(Prim::erfc, x)),
    EACH_UNARY("exp", real, exp_of(x)),
    EACH_UNARY("expm1", real, expm1_of(x)),
    EACH_UNARY("floor", native, rounded(x, floor_of)),
    EACH_UNARY("frac", wide, x - trunc_of(x)),
    EACH_UNARY("lgamma", real, unary(Prim::lgamma, x)),
    EACH_UNARY("log", real, log_of(x)),
    EACH_UNARY("log10", real_wide, log10_of(x)),
    EACH_UNARY("log1p", real, log1p_of(x)),
    EACH_UNARY("log2", real_wide, log2_of(x)),
    EACH_UNARY("neg", native, -x),
    EACH_UNARY("reciprocal", real, 1.0 / x),
    EACH_UNARY("round", native, rounded(x, round_of)),
    EACH_UNARY("rsqrt", real, inverse_root(x)),
    EACH_UNARY("sigmoid", real_wide, sigmoid_of(x)),
    EACH_UNARY("sign", native, sign_or_zero(x)),
    EACH_UNARY("sin", real, sin_of(x)),
    EACH_UNARY("sinh", real, unary(Prim::sinh, x)),
    EACH_UNARY("sqrt", real, root(x)),
    EACH_UNARY("tan", real, unary(Prim::tan, x)),
    EACH_UNARY("tanh", real, tanh_of(x)),
    EACH_UNARY("trunc", native, rounded(x, trunc_of)),
    EACH_BINARY("mul", native, mul_of(x, y)),
    EACH("mul", ".Tensor", (each_binary<Rule::native, mul_of>)),
    EACH_BINARY("div", real, x / y),
    EACH("div", ".Tensor", (each_binary<Rule::real, [](Expr x, Expr y) { return x / y; }>)),
    EACH_BINARY("maximum", compare, maximum(x, y)),
    EACH_BINARY("minimum", compare, minimum(x, y)),
    EACH_BINARY("clamp_min", compare, clamp_min_of(x, y)),
    EACH_BINARY("clamp_max", compare, clamp_max_of(x, y)),
    EACH("add", ".List", each_sum<false>),
    EACH("add", ".Scalar", each_sum<false>),
    EACH("add", ".ScalarList", each_sum<false>),
    EACH("add", ".Tensor", each_sum<false>),
    EACH("sub", ".List", each_sum<true>),
    EACH("sub", ".Scalar", each_sum<true>),
    EACH("sub", ".ScalarList", each_sum<true>),
    EACH("pow", ".List", each_pow),
    EACH("pow", ".Scalar", each_pow),
    EACH("pow", ".ScalarList", each_pow),
    {"_foreach_pow.ScalarAndTensor", kAll, each_pow_of_number},
    EACH("addcmul", ".Scalar", each_addc<false>),
    EACH("addcmul", ".ScalarList", each_addc<false>),
    EACH("addcmul", ".Tensor", each_addc<false>),
    EACH("addcdiv", ".Scalar", each_addc<true>),
    EACH("addcdiv", ".ScalarList", each_addc<true>),
    EACH("addcdiv", ".Tensor", each_addc<true>),
    EACH("lerp", ".List", each_lerp),
    EACH("lerp", ".Scalar", each_lerp),
    EACH("lerp", ".ScalarList", each_lerp),
    {"_foreach_norm.Scalar", kFloats, each_norm},
    {"_foreach_max", kAll, each_max},
    EACH("copy", "", each_copy),
    EACH("zero", "", each_zero),
};

}  // namespace

std::span<const OpRow> foreach_ops() { return kRows; }

}  // namespace moai::lower
