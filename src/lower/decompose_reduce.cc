// Reductions over dimensions.
#include <cmath>
#include <string>

#include "src/lower/pointwise.h"
#include "src/lower/reductions.h"

namespace moai::lower {
namespace {

using ir::ValueId;
using Axes = std::optional<std::vector<int64_t>>;

// self, and where they are to be read: dim, keepdim. Trailing arguments stay with the caller.
struct Reduction {
  OpContext& c;
  Expr x;
  Shape axes;
  bool keep = false;

  explicit Reduction(OpContext& context) : c(context), x{&c.b, c.read_next()} {}
  Reduction& all() {
    axes = axes_of(c, std::nullopt, x.rank());
    return *this;
  }
  Reduction& dims() {  // int[]? dim, bool keepdim
    Axes list;
    if (c.args.peek() == wire::Tag::integer)
      list = {{c.args.integer_or(0)}};
    else
      list = c.args.integers();
    axes = axes_of(c, list, x.rank());
    return keepdim();
  }
  Reduction& dim() {  // int? dim, bool keepdim
    std::optional<int64_t> d = c.args.integer();
    axes = axes_of(c, d ? Axes{{*d}} : std::nullopt, x.rank());
    return keepdim();
  }
  Reduction& keepdim() {
    keep = c.has_more() && c.args.integer_or(0) != 0;
    return *this;
  }
  // Sums and products: in the result's dtype, half floats in f32.
  Reduction& widen() {
    x = {x.b, cast(*x.b, x.v, compute_type(c.output_dtype()))};
    return *this;
  }
  Expr reduce(ReduceKind kind) const { return lower::reduce(x, kind, axes, keep); }
  int64_t count() const {
    int64_t n = 1;
    for (int64_t a : axes) n *= x.shape()[static_cast<int>(a)];
    return n;
  }
};

void finish_sum(Reduction& r) { r.c.finish(r.widen().reduce(ReduceKind::sum).v); }
void finish_mean(Reduction& r) {
  Expr sum = r.widen().reduce(ReduceKind::sum);
  r.c.finish((sum / static_cast<double>(r.count())).v);
}

void lower_sum(OpContext& c) { finish_sum(Reduction(c).all()); }
void lower_sum_dim(OpContext& c) { finish_sum(Reduction(c).dims()); }
void lower_mean(OpContext& c) { finish_mean(Reduction(c).all()); }
void lower_mean_dim(OpContext& c) { finish_mean(Reduction(c).dims()); }
void lower_nansum(OpContext& c) {
  Reduction r(c);
  r.dims().widen();
  if (is_float(r.x.dtype())) r.x = select(is_nan(r.x), 0, r.x);
  c.finish(r.reduce(ReduceKind::sum).v);
}
void lower_prod(OpContext& c) { c.finish(Reduction(c).all().widen().reduce(ReduceKind::prod).v); }
void lower_prod_dim(OpContext& c) {
  c.finish(Reduction(c).dim().widen().reduce(ReduceKind::prod).v);
}

// max and min have no identity.
void finish_extreme(const Reduction& r, ReduceKind kind) {
  if (r.count() == 0)
    return r.c.fail(
        invalid("reduces an empty dimension, which has no largest or smallest element"));
  r.c.finish(r.reduce(kind).v);
}
template <ReduceKind kind>
void lower_extreme(OpContext& c) {
  finish_extreme(Reduction(c).all(), kind);
}
template <ReduceKind kind>
void lower_extreme_dims(OpContext& c) {
  finish_extreme(Reduction(c).dims(), kind);
}

template <ReduceKind kind>
void lower_extreme_dim(OpContext& c) {  // values and indices
  Reduction r(c);
  r.dim();
  if (r.x.rank() == 0) {
    const ValueId scalar[] = {r.x.v, c.b.constant_int(0, DType::i64)};
    return c.finish(scalar);
  }
  const ValueId results[] = {r.reduce(kind).v,
                             arg_reduce(r.x, kind, static_cast<int>(r.axes[0]), r.keep).v};
  c.finish(results);
}

void lower_aminmax(OpContext& c) {
  Reduction r(c);
  r.dim();
  const ValueId results[] = {r.reduce(ReduceKind::min).v, r.reduce(ReduceKind::max).v};
  c.finish(results);
}

template <ReduceKind kind>
void lower_arg(OpContext& c) {  // self, dim, keepdim
  Expr x{&c.b, c.read_next()};
  std::optional<int64_t> dim = c.args.integer();
  const bool keep = c.has_more() && c.args.integer_or(0) != 0;
  if (x.rank() == 0) return c.finish(c.b.constant_int(0, DType::i64));
  if (dim) return c.finish(arg_reduce(x, kind, axis_of(c, *dim, x.rank()), keep).v);
  Expr flat = x.reshape({x.shape().numel()});
  ValueId v = c.b.arg_reduce(kind, flat.v, 0);
  c.finish(c.b.reshape(v, keep ? Shape::filled(x.rank(), 1) : Shape{}));
}

// any and all keep u8 for u8 and give bool else: finish() converts.
template <ReduceKind kind>
void finish_truth(Reduction& r) {
  r.x = true_of(r.x);
  r.c.finish(r.reduce(kind).v);
}
template <ReduceKind kind>
void lower_truth(OpContext& c) {
  finish_truth<kind>(Reduction(c).all());
}
template <ReduceKind kind>
void lower_truth_dims(OpContext& c) {
  finish_truth<kind>(Reduction(c).dims());
}

void lower_count_nonzero(OpContext& c) {  // self, dim or dims
  Reduction r(c);
  if (c.has_more())
    r.dims();
  else
    r.all();
  r.x = true_of(r.x).to(DType::i64);
  c.finish(r.reduce(ReduceKind::sum).v);
}

void lower_logsumexp(OpContext& c) {
  c.finish(Reduction(c).dims().widen().reduce(ReduceKind::logsumexp).v);
}

// -- variance

struct Moments {
  Expr variance, mean;
};

// Two passes. correction: degrees of freedom taken off; none left gives NaN or inf as x / 0 does.
Moments moments_of(Reduction& r, const Operand& correction) {
  r.widen();
  Expr mean = lower::reduce(r.x, ReduceKind::sum, r.axes, true) / static_cast<double>(r.count());
  Expr d = r.x - mean.broadcast_to(r.x.shape());
  Expr squares = lower::reduce(d * d, ReduceKind::sum, r.axes, r.keep);
  Expr freedom = squares.constant(static_cast<double>(r.count())) -
                 as(r.c, correction, squares.dtype(), squares.shape());
  freedom = maximum(freedom, 0);
  return {squares / freedom, mean.reshape(squares.shape())};
}

Operand unbiased_or(OpContext& c) {  // bool unbiased
  wire::ScalarArg one;
  one.kind = wire::ScalarArg::Kind::integer;
  one.i = c.has_more() ? c.args.integer_or(1) : 1;
  one.f = static_cast<double>(one.i);
  return operand_of(one);
}

enum class Spread : uint8_t { var, std };

template <Spread spread, bool with_mean>
void finish_moments(Reduction& r, const Operand& correction) {
  Moments m = moments_of(r, correction);
  Expr first = spread == Spread::std ? root(m.variance) : m.variance;
  const ValueId results[] = {first.v, m.mean.v};
  r.c.finish(std::span(results, with_mean ? 2 : 1));
}

template <Spread spread, bool with_mean>
void lower_moments(OpContext& c) {  // self, unbiased
  Reduction r(c);
  finish_moments<spread, with_mean>(r.all(), unbiased_or(c));
}

template <Spread spread, bool with_mean>
void lower_moments_dim(OpContext& c) {  // self, dim, unbiased, keepdim
  Reduction r(c);
  r.axes = axes_of(c, c.args.integers(), r.x.rank());
  Operand correction = unbiased_or(c);
  finish_moments<spread, with_mean>(r.keepdim(), correction);
}

template <Spread spread, bool with_mean>
void lower_moments_correction(OpContext& c) {  // self, dim, correction, keepdim
  Reduction r(c);
  r.axes = axes_of(c, c.args.integers(), r.x.rank());
  Operand correction = next_number_or(c, 1);
  finish_moments<spread, with_mean>(r.keepdim(), correction);
}

// -- norms

void finish_norm(Reduction& r, const Operand& order) {
  r.widen();
  r.c.finish(norm_of(r.c, r.x, order, r.axes, r.keep).v);
}

void lower_norm(OpContext& c) {  // self, p [, dtype]
  Reduction r(c);
  Operand p = c.has_more() ? next_number_or(c, 2) : whole_number(2);
  finish_norm(r.all(), p);
}

void lower_norm_dim(OpContext& c) {  // self, p, dim, keepdim [, dtype]
  Reduction r(c);
  Operand p = next_number_or(c, 2);
  finish_norm(r.dims(), p);
}

constexpr OpRow kRows[] = {
    {"sum", kAll, lower_sum},
    {"sum.dim_IntList", kAll, lower_sum_dim},
    {"nansum", kAll, lower_nansum},
    {"mean", kFloats, lower_mean},
    {"mean.dim", kFloats, lower_mean_dim},
    {"prod", kAll, lower_prod},
    {"prod.dim_int", kAll, lower_prod_dim},
    {"max", kAll, lower_extreme<ReduceKind::max>},
    {"min", kAll, lower_extreme<ReduceKind::min>},
    {"amax", kAll, lower_extreme_dims<ReduceKind::max>},
    {"amin", kAll, lower_extreme_dims<ReduceKind::min>},
    {"max.dim", kAll, lower_extreme_dim<ReduceKind::max>},
    {"min.dim", kAll, lower_extreme_dim<ReduceKind::min>},
    {"aminmax", kAll, lower_aminmax},
    {"argmax", kAll, lower_arg<ReduceKind::max>},
    {"argmin", kAll, lower_arg<ReduceKind::min>},
    {"any", kAll, lower_truth<ReduceKind::any>},
    {"any.dim", kAll, lower_truth_dims<ReduceKind::any>},
    {"any.dims", kAll, lower_truth_dims<ReduceKind::any>},
    {"all", kAll, lower_truth<ReduceKind::all>},
    {"all.dim", kAll, lower_truth_dims<ReduceKind::all>},
    {"all.dims", kAll, lower_truth_dims<ReduceKind::all>},
    {"count_nonzero", kAll, lower_count_nonzero},
    {"count_nonzero.dim_IntList", kAll, lower_count_nonzero},
    {"logsumexp", kAll, lower_logsumexp},
    {"var", kFloats, lower_moments<Spread::var, false>},
    {"var.dim", kFloats, lower_moments_dim<Spread::var, false>},
    {"var.correction", kFloats, lower_moments_correction<Spread::var, false>},
    {"std", kFloats, lower_moments<Spread::std, false>},
    {"std.dim", kFloats, lower_moments_dim<Spread::std, false>},
    {"std.correction", kFloats, lower_moments_correction<Spread::std, false>},
    {"var_mean", kFloats, lower_moments<Spread::var, true>},
    {"var_mean.dim", kFloats, lower_moments_dim<Spread::var, true>},
    {"var_mean.correction", kFloats, lower_moments_correction<Spread::var, true>},
    {"std_mean", kFloats, lower_moments<Spread::std, true>},
    {"std_mean.dim", kFloats, lower_moments_dim<Spread::std, true>},
    {"std_mean.correction", kFloats, lower_moments_correction<Spread::std, true>},
    {"norm.Scalar", kFloats, lower_norm},
    {"norm.ScalarOpt_dtype", kFloats, lower_norm},
    {"norm.ScalarOpt_dim", kFloats, lower_norm_dim},
    {"norm.ScalarOpt_dim_dtype", kFloats, lower_norm_dim},
    {"linalg_vector_norm", kFloats, lower_norm_dim},
};

}  // namespace

std::span<const OpRow> reduce_ops() { return kRows; }

}  // namespace moai::lower
