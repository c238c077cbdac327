// Graphs that grow by one node at a time from the values they have, in f64.
#pragma once
#include <algorithm>
#include <random>
#include <span>
#include <vector>

#include "tests/support/recipe.h"

namespace moai::test {

using ir::ValueId;

class RandomGraph {
 public:
  // large: a size that some shapes have, 0 for none. Graphs of one seed that differ in it make the
  // same choices.
  explicit RandomGraph(uint64_t seed, int64_t large = 0) : random_(seed), large_(large) {
    for (int i = 0; i < 3; i++) values_.push_back(p.input(any_shape(), DType::f64));
    values_.push_back(p.real(0));
  }

  void grow(int nodes) {
    for (int i = 0; i < nodes; i++) {
      ValueId v = next();
      if (v == ValueId::none || p.b.shape(v).numel() > most() || p.b.shape(v).numel() == 0)
        continue;
      values_.push_back(v);
    }
    // Some values are results; the last one is always used.
    for (ValueId v : values_)
      if (pick(5) == 0) p.output(v);
    p.output(values_.back());
    // An input gets a new version.
    for (ValueId v : values_)
      if (p.b.shape(v).numel() == p.b.shape(values_[0]).numel() && p.b.dtype(v) == DType::f64 &&
          v != values_[0] && pick(2) == 0) {
        p.g.set_output(0, v);
        break;
      }
  }

  Recipe p;

 private:
  int64_t pick(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  int64_t most() const { return large_ == 0 ? 400 : 400 * large_ * large_; }  // elements
  // Of `size` elements of a dimension: near its end where it is large.
  int64_t pick_of(int64_t size) {
    return size < large_ / 2 ? pick(size) : pick(2) ? size - 1 - pick(4) : pick(4);
  }
  Shape any_shape() {
    Shape s;
    for (int64_t d = 0, rank = pick(4); d <= rank; d++)
      s.push_back(large_ > 0 && pick(3) == 0 ? large_ : 1 + pick(4));
    return s;
  }
  ValueId any() { return values_[static_cast<size_t>(pick(static_cast<int64_t>(values_.size())))]; }
  ValueId recent() {
    size_t n = values_.size(), back = static_cast<size_t>(pick(4));
    return values_[n - 1 - std::min(back, n - 1)];
  }
  // Another value in the shape of v, or v itself.
  ValueId shaped_like(ValueId v) {
    for (int i = 0; i < 8; i++) {
      ValueId x = any();
      const Shape &a = p.b.shape(x), &want = p.b.shape(v);
      if (a == want) return x;
      bool fits = a.rank() <= want.rank();
      for (int d = 0; fits && d < a.rank(); d++) {
        int64_t size = want[want.rank() - a.rank() + d];
        fits = a[d] == size || a[d] == 1;
      }
      if (fits) return p.b.broadcast_to(x, want);
      if (a.numel() == want.numel()) return p.b.reshape(x, want);
    }
    return v;
  }

  ValueId next() {
    ValueId v = recent();
    switch (pick(13)) {
      case 0:
      case 1:
      case 2: {
        Prim ops[] = {Prim::add, Prim::sub, Prim::mul, Prim::max, Prim::min};
        return p.b.binary(ops[pick(5)], v, shaped_like(v));
      }
      case 3: {
        Prim ops[] = {Prim::tanh, Prim::neg, Prim::abs, Prim::sin, Prim::floor, Prim::sign};
        return p.b.unary(ops[pick(6)], v);
      }
      case 4: return p.b.select(p.b.binary(Prim::gt, v, shaped_like(v)), v, shaped_like(v));
      case 5:
        return p.add(v, p.b.iota(static_cast<int>(pick(std::max(1, p.b.shape(v).rank()))),
                                 DType::f64, p.b.shape(v)));
      case 6: return view(v);
      case 7: return view(v);
      case 8: return reduce(v);
      case 9: return reduce(v);
      case 10: return p.b.convert(p.b.convert(v, DType::bf16), DType::f64);
      case 11: return move(v);
      default: return contract(v);
    }
  }

  ValueId view(ValueId v) {
    Shape s = p.b.shape(v);
    int rank = s.rank();
    if (rank == 0) return p.b.broadcast_to(v, any_shape());
    switch (pick(5)) {
      case 0: {
        Shape perm;
        for (int d = 0; d < rank; d++) perm.push_back(d);
        std::shuffle(perm.begin(), perm.end(), random_);
        return p.b.transpose(v, perm);
      }
      case 1: {
        Shape start, step, sizes;
        for (int d = 0; d < rank; d++) {
          start.push_back(pick_of(s[d]));
          step.push_back(1 + pick(2));
          sizes.push_back((s[d] - start[d] + step[d] - 1) / step[d]);
        }
        return p.b.slice(v, start, step, sizes);
      }
      case 2: return p.b.reverse(v, Shape{pick(rank)});
      case 3: {  // merges two neighbours, or splits off a factor
        int d = static_cast<int>(pick(rank));
        if (d + 1 < rank && pick(2)) {
          s[d + 1] *= s[d];
          s.erase(d);
        } else if (s[d] % 2 == 0 && rank < 6) {
          s[d] /= 2;
          s.insert(d + pick(2), 2);
        }
        return p.b.reshape(v, s);
      }
      default: {
        if (rank > 4) return v;
        Shape to = s;
        to.insert(0, 1 + pick(3));
        return p.b.broadcast_to(v, to);
      }
    }
  }

  ValueId reduce(ValueId v) {
    Shape axes;
    for (int d = 0; d < p.b.shape(v).rank(); d++)
      if (pick(2)) axes.push_back(d);
    ReduceKind kinds[] = {ReduceKind::sum, ReduceKind::max, ReduceKind::min, ReduceKind::logsumexp};
    ReduceKind kind = kinds[pick(4)];
    if (pick(2)) return p.b.reduce(kind, v, axes);
    ValueId kept = p.b.reduce_keep(kind, v, axes);
    return p.b.binary(Prim::sub, v, p.b.broadcast_to(kept, p.b.shape(v)));
  }

  ValueId move(ValueId v) {
    Shape s = p.b.shape(v);
    int rank = s.rank();
    if (rank == 0) return v;
    int d = static_cast<int>(pick(rank));
    switch (pick(3)) {
      case 0: {
        ValueId parts[] = {v, shaped_like(v), v};
        return p.b.concat(std::span<const ValueId>(parts, static_cast<size_t>(2 + pick(2))), d);
      }
      case 1: {
        Shape zero = Shape::filled(rank, 0), lo = zero, hi = zero, interior = zero;
        lo[d] = pick(4) - 1, hi[d] = pick(3) - (s[d] > 2), interior[d] = pick(2);
        return p.b.pad(v, p.b.constant(1.5, DType::f64), lo, hi, interior);
      }
      default: {
        Shape start = Shape::filled(rank, 0), sizes = s;
        start[d] = pick_of(s[d]);
        sizes[d] = s[d] - start[d];
        ValueId part = p.b.slice(shaped_like(v), start, Shape::filled(rank, 1), sizes);
        Shape at = Shape::filled(rank, 0);
        at[d] = pick_of(start[d] + 1);
        return p.b.update_slice(v, pick(2) ? p.b.unary(Prim::neg, part) : part, at,
                                Shape::filled(rank, 1));
      }
    }
  }

  ValueId contract(ValueId v) {
    if (p.b.shape(v).rank() < 2) return v;
    ValueId w = shaped_like(v);
    Shape perm;
    int rank = p.b.shape(v).rank();
    for (int d = 0; d < rank; d++) perm.push_back(d);
    std::swap(perm[rank - 1], perm[rank - 2]);
    return p.times(p.b.matmul(v, p.b.transpose(w, perm)), 0.1);
  }

  std::mt19937_64 random_;
  int64_t large_;
  std::vector<ValueId> values_;
};

}  // namespace moai::test
