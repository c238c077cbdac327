// Shape rules of dot_general and the convolutions.
#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

Status check_number(const Rule& r) {
  MOAI_RETURN_IF_ERROR(r.check_same_dtype(0, 1));
  if (is_float(r.in[0].dtype) || is_integer(r.in[0].dtype)) return ok_status();
  return r.fail(std::string("has no meaning for ") + name_of(r.in[0].dtype));
}

// Axes of one side: batch and contracted axes are distinct.
Status check_side(const Rule& r, const Shape& batch, const Shape& contract, int rank) {
  if (batch.rank() + contract.rank() > rank) return r.fail("names more axes than an operand has");
  Shape all = batch;
  for (int64_t a : contract) all.push_back(a);
  return r.check_axes(all, rank);
}

Status check_pairs(const Rule& r, const Shape& a, const Shape& b, const char* what) {
  if (a.rank() != b.rank())
    return r.fail(std::string(what) + " axes of the operands differ in number");
  for (int i = 0; i < a.rank(); i++) {
    int64_t x = r.in[0].shape[static_cast<int>(a[i])], y = r.in[1].shape[static_cast<int>(b[i])];
    if (x != y)
      return r.fail(std::string(what) + " sizes differ: " + std::to_string(x) + " and " +
                    std::to_string(y) + " of " + to_text(r.in[0]) + " and " + to_text(r.in[1]));
  }
  return ok_status();
}

bool holds(const Shape& s, int64_t v) {
  for (int64_t x : s)
    if (x == v) return true;
  return false;
}

Types infer_dot(const Rule& r) {
  const DotAttrs& a = *r.get<DotAttrs>();
  MOAI_RETURN_IF_ERROR(check_number(r));
  const Shape &x = r.in[0].shape, &y = r.in[1].shape;
  MOAI_RETURN_IF_ERROR(check_side(r, a.batch_a, a.contract_a, x.rank()));
  MOAI_RETURN_IF_ERROR(check_side(r, a.batch_b, a.contract_b, y.rank()));
  MOAI_RETURN_IF_ERROR(check_pairs(r, a.batch_a, a.batch_b, "batch"));
  MOAI_RETURN_IF_ERROR(check_pairs(r, a.contract_a, a.contract_b, "contracted"));
  int rank = x.rank() + y.rank() - a.batch_a.rank() - 2 * a.contract_a.rank();
  if (rank > kRankMax) return r.fail("result of rank " + std::to_string(rank) + " is too deep");
  Type result{r.in[0].dtype, {}};
  for (int64_t i : a.batch_a) result.shape.push_back(x[static_cast<int>(i)]);
  for (int i = 0; i < x.rank(); i++)
    if (!holds(a.batch_a, i) && !holds(a.contract_a, i)) result.shape.push_back(x[i]);
  for (int i = 0; i < y.rank(); i++)
    if (!holds(a.batch_b, i) && !holds(a.contract_b, i)) result.shape.push_back(y[i]);
  return std::vector<Type>{result};
}

Status check_conv_attrs(const Rule& r, const ConvAttrs& a, int spatial) {
  if (spatial < 1 || spatial > 3) return r.fail("takes 1 to 3 spatial dimensions");
  for (const Shape* s : {&a.stride, &a.pad_lo, &a.pad_hi, &a.dilation, &a.lhs_dilation})
    if (s->rank() != spatial) return r.fail("attributes need one entry for each spatial dimension");
  for (int i = 0; i < spatial; i++)
    if (a.stride[i] < 1 || a.dilation[i] < 1 || a.lhs_dilation[i] < 1)
      return r.fail("stride and dilation must be >= 1");
  if (a.groups < 1) return r.fail("groups must be >= 1");
  return ok_status();
}

// Shape of conv(x, w); both have rank spatial + 2.
StatusOr<Shape> conv_shape(const Rule& r, const Shape& x, const Shape& w) {
  const ConvAttrs& a = *r.get<ConvAttrs>();
  int spatial = x.rank() - 2;
  if (w.rank() != x.rank()) return r.fail("input and weight differ in rank");
  MOAI_RETURN_IF_ERROR(check_conv_attrs(r, a, spatial));
  if (w[0] < 0 || w[1] < 0 || x[1] % a.groups || x[1] / a.groups != w[1] || w[0] % a.groups)
    return r.fail("channels differ: input " + to_text(x) + ", weight " + to_text(w) + ", groups " +
                  std::to_string(a.groups));
  Shape result{x[0], w[0]};
  for (int i = 0; i < spatial; i++) {
    int64_t n = x[i + 2];
    if (w[i + 2] < 1) return r.fail("the weight must have sizes >= 1");
    Checked dilated = n ? Checked(n - 1) * a.lhs_dilation[i] + 1 : Checked(0);
    if (!dilated.ok()) return r.fail("sizes overflow");
    Checked count = window_count(dilated.value(), w[i + 2], a.stride[i], a.dilation[i], a.pad_lo[i],
                                 a.pad_hi[i]);
    if (!count.ok()) return r.fail("sizes overflow");
    result.push_back(count.value());
  }
  return result;
}

Types infer_wgrad(const Rule& r) {
  const Shape& weight = r.hint.shape;
  if (!is_sound({r.in[0].dtype, weight})) return r.fail("weight shape is negative or too large");
  for (int64_t d : r.get<ConvAttrs>()->lhs_dilation)
    if (d != 1) return r.fail("lhs_dilation must be 1");
  MOAI_ASSIGN_OR_RETURN(Shape y, conv_shape(r, r.in[0].shape, weight));
  if (y != r.in[1].shape)
    return r.fail("gradient " + to_text(r.in[1]) + " is not of the result's shape " + to_text(y));
  return std::vector<Type>{{r.in[0].dtype, weight}};
}

}  // namespace

Types infer_contract(const Rule& r) {
  if (r.op == Prim::dot_general) return infer_dot(r);
  MOAI_RETURN_IF_ERROR(check_number(r));
  if (r.op == Prim::conv_wgrad) return infer_wgrad(r);
  MOAI_ASSIGN_OR_RETURN(Shape y, conv_shape(r, r.in[0].shape, r.in[1].shape));
  return std::vector<Type>{{r.in[0].dtype, y}};
}

}  // namespace moai::ir
