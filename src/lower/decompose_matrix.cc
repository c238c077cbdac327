// Matrix products. Contractions stay in the tensor's dtype, so that devices see f16 and bf16
// operands; what is added to a product is added in f32.
#include <numbers>
#include <string>

#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

Expr dot(Expr a, Expr b, const DotAttrs& attrs) { return {a.b, a.b->dot(a.v, b.v, attrs)}; }

const DotAttrs kMatrix{{}, {}, {1}, {0}};
const DotAttrs kBatched{{0}, {0}, {2}, {1}};
const DotAttrs kSummedBatches{{}, {}, {0, 2}, {0, 1}};
const DotAttrs kVector{{}, {}, {0}, {0}};
const DotAttrs kMatrixVector{{}, {}, {1}, {0}};

// Two operands; `dtype` overloads convert them to the result's.
std::pair<Expr, Expr> pair_of(OpContext& c) {
  DType t = c.output_dtype();
  ValueId a = c.read_next(), b = c.read_next();
  return {{&c.b, cast(c.b, a, t)}, {&c.b, cast(c.b, b, t)}};
}

bool has_ranks(OpContext& c, Expr a, int rank_a, Expr b, int rank_b) {
  if (a.rank() == rank_a && b.rank() == rank_b) return true;
  c.fail(invalid("takes operands of rank " + std::to_string(rank_a) + " and " +
                 std::to_string(rank_b) + ", not " + std::to_string(a.rank()) + " and " +
                 std::to_string(b.rank())));
  return false;
}

template <const DotAttrs& attrs, int rank_a, int rank_b>
void lower_product(OpContext& c) {
  auto [a, b] = pair_of(c);
  if (has_ranks(c, a, rank_a, b, rank_b)) c.finish(dot(a, b, attrs).v);
}

Expr outer_of(Expr a, Expr b) {
  const int64_t m = a.shape().numel(), n = b.shape().numel();
  return a.reshape({m, 1}).broadcast_to({m, n}) * b.reshape({1, n}).broadcast_to({m, n});
}

void lower_outer(OpContext& c) {
  auto [a, b] = pair_of(c);
  if (has_ranks(c, a, 1, b, 1)) c.finish(outer_of(a, b).v);
}

// beta * self + alpha * product. A beta of 0 hides NaN in self.
Expr blend(OpContext& c, const Operand& self, Expr product, const Operand& beta,
           const Operand& alpha) {
  auto is_value = [](const Operand& o, double v) {
    return o.is_number && !o.number.is_lifted && o.number.f == v;
  };
  DType t = compute_type(product.dtype());
  auto number = [&](const Operand& o) { return as(c, o, t, product.shape()); };
  product = product.to(t);
  if (!is_value(alpha, 1)) product = product * number(alpha);
  if (is_value(beta, 0)) return product;
  Expr base = as(c, self, t, product.shape());
  if (is_value(beta, 1)) return base + product;
  Expr factor = number(beta);
  if (beta.number.is_lifted) base = select(equal(factor, 0), 0, base);
  return base * factor + product;
}

Operand number_or_one(OpContext& c) {
  if (c.has_more()) return next_number_or(c, 1);
  wire::ScalarArg one;
  one.f = 1;
  return operand_of(one);
}

template <const DotAttrs& attrs, int rank_a, int rank_b>
Expr added_product(OpContext& c) {  // self, a, b, [out dtype,] beta, alpha
  Operand self = next_operand(c);
  auto [a, b] = pair_of(c);
  if (!has_ranks(c, a, rank_a, b, rank_b)) return a;
  if (c.name().ends_with(".dtype")) c.args.integer();
  Operand beta = number_or_one(c), alpha = number_or_one(c);
  return blend(c, self, dot(a, b, attrs), beta, alpha);
}

template <const DotAttrs& attrs, int rank_a, int rank_b>
void lower_added(OpContext& c) {
  c.finish(added_product<attrs, rank_a, rank_b>(c).v);
}

void lower_addr(OpContext& c) {  // self, a, b, beta, alpha
  Operand self = next_operand(c);
  auto [a, b] = pair_of(c);
  if (!has_ranks(c, a, 1, b, 1)) return;
  Operand beta = number_or_one(c), alpha = number_or_one(c);
  DType t = compute_type(a.dtype());
  c.finish(blend(c, self, outer_of(a.to(t), b.to(t)), beta, alpha).v);
}

void lower_addmm_activation(OpContext& c) {  // self, a, b, beta, alpha, use_gelu
  Expr r = added_product<kMatrix, 2, 2>(c);
  const bool use_gelu = c.has_more() && c.args.integer_or(0) != 0;
  if (!use_gelu) return c.finish(maximum(r, 0).v);
  c.finish((r * 0.5 * (erf_of(r * (std::numbers::sqrt2 / 2)) + 1.0)).v);
}

void lower_linear(OpContext& c) {  // input, weight [out, in], bias
  auto [x, w] = pair_of(c);
  std::optional<Operand> bias;
  if (c.has_more()) bias = next_operand_optional(c);
  if (x.rank() == 0 || w.rank() != 2)
    return c.fail(invalid("takes an input of rank 1 or more and a weight of rank 2"));
  Expr y = dot(x, w, {{}, {}, {x.rank() - 1}, {1}});
  if (!bias) return c.finish(y.v);
  DType t = compute_type(y.dtype());
  c.finish((y.to(t) + as(c, *bias, t, y.shape())).v);
}

void lower_foreach_mm(OpContext& c) {
  std::vector<ValueId> a = c.read_list(), b = c.read_list(), results;
  if (a.size() != b.size()) return c.fail(invalid("lists differ in length"));
  for (size_t i = 0; i < a.size(); i++) results.push_back(c.b.dot(a[i], b[i], kMatrix));
  c.finish(results);
}

constexpr OpRow kRows[] = {
    {"mm", kNumbers, lower_product<kMatrix, 2, 2>},
    {"mm.dtype", kNumbers, lower_product<kMatrix, 2, 2>},
    {"bmm", kNumbers, lower_product<kBatched, 3, 3>},
    {"bmm.dtype", kNumbers, lower_product<kBatched, 3, 3>},
    {"mv", kNumbers, lower_product<kMatrixVector, 2, 1>},
    {"dot", kNumbers, lower_product<kVector, 1, 1>},
    {"vdot", kNumbers, lower_product<kVector, 1, 1>},
    {"ger", kNumbers, lower_outer},
    {"outer", kNumbers, lower_outer},
    {"addmm", kNumbers, lower_added<kMatrix, 2, 2>},
    {"addmm.dtype", kNumbers, lower_added<kMatrix, 2, 2>},
    {"baddbmm", kNumbers, lower_added<kBatched, 3, 3>},
    {"baddbmm.dtype", kNumbers, lower_added<kBatched, 3, 3>},
    {"addbmm", kNumbers, lower_added<kSummedBatches, 3, 3>},
    {"addmv", kNumbers, lower_added<kMatrixVector, 2, 1>},
    {"addr", kNumbers, lower_addr},
    {"_addmm_activation", kFloats, lower_addmm_activation},
    {"linear", kFloats, lower_linear},
    {"_foreach_mm", kFloats, lower_foreach_mm},
};

}  // namespace

std::span<const OpRow> matrix_ops() { return kRows; }

}  // namespace moai::lower
