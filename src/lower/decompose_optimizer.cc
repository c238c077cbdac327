// Fused optimizers and gradient scaling: the update of each parameter, written out.
#include <cmath>

#include "src/lower/pointwise.h"
#include "src/lower/reductions.h"

namespace moai::lower {
namespace {

using ir::ValueId;
using Values = std::vector<ValueId>;

// What the fused optimizers share: numbers, the scale of the gradients, and whether the step is
// skipped.
class Step {
 public:
  explicit Step(OpContext& c) : c_(c) {}

  void number(Operand& o) { o = next_operand(c_); }
  bool flag() { return c_.args.integer_or(0) != 0; }
  void read_tail() {  // grad_scale, found_inf
    if (c_.has_more()) grad_scale_ = next_operand_optional(c_);
    if (c_.has_more()) found_inf_ = next_operand_optional(c_);
  }

  Expr in(ValueId v, DType t) const { return {&c_.b, cast(c_.b, v, t)}; }
  Expr at(const Operand& o, Expr like) const { return as(c_, o, like.dtype(), like.shape()); }
  // 0-dim f64: bias corrections lose too much in f32.
  Expr scalar(const Operand& o) const {
    if (o.is_number) return {&c_.b, c_.scalar(o.number, DType::f64)};
    return Expr{&c_.b, cast(c_.b, o.value, DType::f64)}.reshape({});
  }
  Expr spread(Expr scalar, Expr like) const {
    return scalar.to(like.dtype()).broadcast_to(like.shape());
  }
  Expr unscaled(Expr g) const { return grad_scale_ ? g / spread(scalar(*grad_scale_), g) : g; }
  // The new value, or the old one where a gradient was not finite; in the old one's dtype.
  ValueId kept(ValueId old, Expr fresh) const {
    Expr before{&c_.b, old};
    Expr after = fresh.to(before.dtype());
    if (!found_inf_) return after.v;
    Expr skip = equal(scalar(*found_inf_), 1);
    return select(skip.broadcast_to(after.shape()), before, after).v;
  }
  void finish(std::initializer_list<const Values*> lists) const {
    Values all;
    for (const Values* l : lists) all.insert(all.end(), l->begin(), l->end());
    c_.finish(all);
  }
  bool same_length(const Values& first, std::initializer_list<const Values*> others) const {
    for (const Values* l : others)
      if (l->size() != first.size() && !l->empty()) c_.fail(invalid("lists differ in length"));
    return c_.b.status().ok();
  }
  DType compute(ValueId param) const { return compute_type(c_.b.dtype(param)); }
  OpContext& c_;

 private:
  std::optional<Operand> grad_scale_, found_inf_;
};

// -- Adam, AdamW

struct Adam {
  Step s;
  Values params, grads, means, squares, largest, steps;
  Operand lr, beta1, beta2, decay, eps;
  bool amsgrad = false, maximize = false;

  explicit Adam(OpContext& c) : s(c) {
    for (Values* l : {&params, &grads, &means, &squares, &largest, &steps}) *l = c.read_list();
    for (Operand* o : {&lr, &beta1, &beta2, &decay, &eps}) s.number(*o);
    amsgrad = s.flag();
    maximize = s.flag();
    s.read_tail();
  }
  bool is_sound() {
    if (!s.same_length(params, {&grads, &means, &squares, &largest, &steps})) return false;
    const bool all = grads.size() == params.size() && means.size() == params.size() &&
                     squares.size() == params.size() && steps.size() == params.size() &&
                     (!amsgrad || largest.size() == params.size());
    if (!all) s.c_.fail(invalid("lists differ in length"));
    return all;
  }
  void update(size_t i, bool is_decoupled);
};

void Adam::update(size_t i, bool is_decoupled) {
  const DType t = s.compute(params[i]);
  Expr p = s.in(params[i], t), m = s.in(means[i], t), v = s.in(squares[i], t);
  Expr stored = s.unscaled(s.in(grads[i], t));
  Expr g = maximize ? -stored : stored;
  if (is_decoupled)
    p = p - p * s.at(lr, p) * s.at(decay, p);
  else
    g = g + p * s.at(decay, p);
  Expr b1 = s.at(beta1, p), b2 = s.at(beta2, p);
  m = m * b1 + g * (1.0 - b1);
  v = v * b2 + g * g * (1.0 - b2);
  Expr step = Expr{&s.c_.b, cast(s.c_.b, steps[i], DType::f64)}.reshape({});
  Expr correction1 = 1.0 - power(s.scalar(beta1), step);
  Expr correction2 = root(1.0 - power(s.scalar(beta2), step));
  Expr top = v;
  if (amsgrad) {
    top = maximum(s.in(largest[i], t), v);
    largest[i] = s.kept(largest[i], top);
  }
  Expr size = s.spread(s.scalar(lr) / correction1, p);
  Expr spread = root(top) / s.spread(correction2, p) + s.at(eps, p);
  params[i] = s.kept(params[i], p - size * m / spread);
  grads[i] = s.kept(grads[i], stored);
  means[i] = s.kept(means[i], m);
  squares[i] = s.kept(squares[i], v);
}

template <bool is_decoupled>
void lower_adam(OpContext& c) {
  Adam a(c);
  if (!a.is_sound()) return;
  for (size_t i = 0; i < a.params.size() && c.b.status().ok(); i++) a.update(i, is_decoupled);
  if (c.b.status().ok()) a.s.finish({&a.params, &a.grads, &a.means, &a.squares, &a.largest});
}

// -- SGD

struct Sgd {
  Step s;
  Values params, grads, momenta;
  Operand decay, momentum, lr, dampening;
  bool nesterov = false, maximize = false, is_first = false;

  explicit Sgd(OpContext& c) : s(c) {
    for (Values* l : {&params, &grads, &momenta}) *l = c.read_list();
    for (Operand* o : {&decay, &momentum, &lr, &dampening}) s.number(*o);
    for (bool* f : {&nesterov, &maximize, &is_first}) *f = s.flag();
    s.read_tail();
  }
  void update(size_t i);
};

void Sgd::update(size_t i) {
  const DType t = s.compute(params[i]);
  Expr p = s.in(params[i], t);
  Expr stored = s.unscaled(s.in(grads[i], t));
  Expr g = maximize ? -stored : stored;
  g = g + p * s.at(decay, p);
  if (!momenta.empty()) {
    Expr rate = s.at(momentum, p);
    Expr old = s.in(momenta[i], t);
    Expr moving = is_first ? g : old * rate + g * (1.0 - s.at(dampening, p));
    g = nesterov ? g + moving * rate : moving;
    momenta[i] = s.kept(momenta[i], moving);
  }
  params[i] = s.kept(params[i], p - g * s.at(lr, p));
  grads[i] = s.kept(grads[i], stored);
}

void lower_sgd(OpContext& c) {
  Sgd a(c);
  if (!a.s.same_length(a.params, {&a.grads, &a.momenta})) return;
  if (a.grads.size() != a.params.size()) return c.fail(invalid("lists differ in length"));
  for (size_t i = 0; i < a.params.size() && c.b.status().ok(); i++) a.update(i);
  if (c.b.status().ok()) a.s.finish({&a.params, &a.grads, &a.momenta});
}

// -- Adagrad

void lower_adagrad(OpContext& c) {
  Step s(c);
  Values params = c.read_list(), grads = c.read_list(), sums = c.read_list(), steps = c.read_list();
  Operand lr, lr_decay, decay, eps;
  for (Operand* o : {&lr, &lr_decay, &decay, &eps}) s.number(*o);
  const bool maximize = s.flag();
  s.read_tail();
  if (grads.size() != params.size() || sums.size() != params.size() ||
      steps.size() != params.size())
    return c.fail(invalid("lists differ in length"));
  for (size_t i = 0; i < params.size() && c.b.status().ok(); i++) {
    const DType t = s.compute(params[i]);
    Expr p = s.in(params[i], t), stored = s.unscaled(s.in(grads[i], t));
    Expr g = (maximize ? -stored : stored) + p * s.at(decay, p);
    Expr step = Expr{&c.b, cast(c.b, steps[i], DType::f64)}.reshape({});
    Expr rate = s.scalar(lr) / ((step - 1.0) * s.scalar(lr_decay) + 1.0);
    Expr sum = s.in(sums[i], t) + g * g;
    params[i] = s.kept(params[i], p - s.spread(rate, p) * g / (root(sum) + s.at(eps, p)));
    grads[i] = s.kept(grads[i], stored);
    sums[i] = s.kept(sums[i], sum);
  }
  if (!c.b.status().ok()) return;
  // One overload says that it writes the steps, too; it leaves them as they are.
  if (c.outputs().size() == 4 * params.size())
    s.finish({&params, &grads, &sums, &steps});
  else
    s.finish({&params, &grads, &sums});
}

// -- gradient scaling

void lower_unscale(OpContext& c) {  // gradients, found_inf, inverse scale
  Values grads = c.read_list();
  Operand found_inf = next_operand(c), inverse = next_operand(c);
  Expr found = as(c, found_inf, found_inf.dtype, found_inf.shape);
  Values results;
  for (ValueId v : grads) {
    Operand o = operand_of(c, v);
    Expr g = as(c, o, compute_type(o.dtype), o.shape);
    Expr bad =
        reduce(not_(is_finite(g)), ReduceKind::any, axes_of(c, std::nullopt, g.rank()), false);
    found =
        select(bad.reshape(Shape::filled(found.rank(), 1)).broadcast_to(found.shape()), 1, found);
    Expr scale = as(c, operand_of(c, c.b.reshape(as(c, inverse, g.dtype(), inverse.shape).v, {})),
                    g.dtype(), g.shape());
    results.push_back((g * scale).v);
  }
  results.push_back(found.v);
  if (c.b.status().ok()) c.finish(results);
}

void lower_update_scale(OpContext& c) {  // scale, tracker, found_inf, growth, backoff, interval
  Operand scale_in = next_operand(c), tracker_in = next_operand(c), found = next_operand(c);
  Operand growth = next_operand(c), backoff = next_operand(c);
  const auto interval = static_cast<double>(c.args.integer_or(1));
  Expr scale = as(c, scale_in, scale_in.dtype, scale_in.shape);
  Expr tracker = as(c, tracker_in, tracker_in.dtype, tracker_in.shape);
  Expr overflow = as(c, found, found.dtype, found.shape) > 0;
  Expr in_tracker = overflow.reshape(tracker.shape());
  Expr good = tracker + 1.0;
  Expr is_due = equal(good, interval);
  Expr grown = scale * as(c, growth, scale.dtype(), scale.shape());
  Expr due = both(is_due.reshape(scale.shape()), is_finite(grown));
  Expr shrunk = scale * as(c, backoff, scale.dtype(), scale.shape());
  const ValueId results[] = {
      select(overflow.reshape(scale.shape()), shrunk, select(due, grown, scale)).v,
      select(either(in_tracker, is_due), 0, good).v};
  c.finish(results);
}

constexpr OpRow kRows[] = {
    {"_fused_adam", kFloats, lower_adam<false>},
    {"_fused_adam_", kFloats, lower_adam<false>},
    {"_fused_adam.tensor_lr", kFloats, lower_adam<false>},
    {"_fused_adam_.tensor_lr", kFloats, lower_adam<false>},
    {"_fused_adamw", kFloats, lower_adam<true>},
    {"_fused_adamw_", kFloats, lower_adam<true>},
    {"_fused_adamw.tensor_lr", kFloats, lower_adam<true>},
    {"_fused_adamw_.tensor_lr", kFloats, lower_adam<true>},
    {"_fused_sgd", kFloats, lower_sgd},
    {"_fused_sgd_", kFloats, lower_sgd},
    {"_fused_sgd.tensor_lr", kFloats, lower_sgd},
    {"_fused_sgd_.tensor_lr", kFloats, lower_sgd},
    {"_fused_adagrad", kFloats, lower_adagrad},
    {"_fused_adagrad_", kFloats, lower_adagrad},
    {"_fused_adagrad.tensor_lr", kFloats, lower_adagrad},
    {"_fused_adagrad_.tensor_lr", kFloats, lower_adagrad},
    {"_amp_foreach_non_finite_check_and_unscale", kFloats, lower_unscale},
    {"_amp_foreach_non_finite_check_and_unscale_", kFloats, lower_unscale},
    {"_amp_update_scale", kFloats, lower_update_scale},
    {"_amp_update_scale_", kFloats, lower_update_scale},
};

}  // namespace

std::span<const OpRow> optimizer_ops() { return kRows; }

}  // namespace moai::lower
