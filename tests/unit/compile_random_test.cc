// Random graphs: compiled and run they give what the evaluator gives. In f64, so that rounding
// decides no comparison.
#include <catch2/catch.hpp>
#include <random>

#include "src/ir/text.h"
#include "tests/support/compile_graph.h"
#include "tests/support/recipe.h"

using namespace moai;
using ir::ValueId;
using test::Recipe;

namespace {

// Grows a graph by one node at a time from the values it has.
class Grower {
 public:
  explicit Grower(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 3; i++) values_.push_back(p.input(any_shape(), DType::f64));
    values_.push_back(p.real(0));
  }

  void grow(int nodes) {
    for (int i = 0; i < nodes; i++) {
      ValueId v = next();
      if (v == ValueId::none || p.b.shape(v).numel() > 400 || p.b.shape(v).numel() == 0) continue;
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
  Shape any_shape() {
    Shape s;
    for (int64_t d = 0, rank = pick(4); d <= rank; d++) s.push_back(1 + pick(4));
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
          start.push_back(pick(s[d]));
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
        start[d] = pick(s[d]);
        sizes[d] = s[d] - start[d];
        ValueId part = p.b.slice(shaped_like(v), start, Shape::filled(rank, 1), sizes);
        Shape at = Shape::filled(rank, 0);
        at[d] = pick(start[d] + 1);
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
  std::vector<ValueId> values_;
};

}  // namespace

TEST_CASE("Random graphs give what the evaluator gives") {
  for (uint64_t seed = 1; seed <= 1500; seed++) {
    Grower grower(seed);
    grower.grow(static_cast<int>(10 + seed % 60));
    std::string difference = test::compare(grower.p.g, 1e-8, seed);
    INFO("seed " << seed << "\n" << (difference.empty() ? "" : ir::print(grower.p.g)));
    REQUIRE(difference == "");
  }
}

TEST_CASE("Wide and deep pointwise graphs stay within the limits of a kernel") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    std::mt19937_64 random(seed);
    Recipe p;
    std::vector<ValueId> values;
    for (int i = 0; i < 40; i++) values.push_back(p.input({3, 5}, DType::f64));
    auto any = [&](size_t last) {
      return values[values.size() - 1 - random() % std::min(last, values.size())];
    };
    size_t near = seed % 2 ? 8 : 300;
    for (int i = 0; i < 300; i++) {
      Prim ops[] = {Prim::add, Prim::sub, Prim::max, Prim::min};
      ValueId v = p.b.binary(ops[random() % 4], any(near), any(300));
      values.push_back(p.add(v, p.full(static_cast<double>(random() % 100) / 7, v)));
      if (random() % 8 == 0) p.output(values.back());
    }
    p.output(values.back());
    INFO("seed " << seed);
    REQUIRE(test::compare(p.g, 1e-9, seed) == "");
  }
}

TEST_CASE("Random element types: every op rounds to its own") {
  constexpr DType kTypes[] = {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64,
                              DType::i32, DType::i16, DType::i8,   DType::u8,  DType::boolean};
  for (uint64_t seed = 1; seed <= 400; seed++) {
    std::mt19937_64 random(seed);
    Recipe p;
    std::vector<ValueId> values;
    for (DType t : kTypes) values.push_back(p.input({7}, t));
    for (int i = 0; i < 25; i++) {
      ValueId x = values[random() % values.size()];
      ValueId y = p.b.convert(values[random() % values.size()], p.b.dtype(x));
      DType t = p.b.dtype(x);
      ValueId v = y;
      switch (random() % 6) {
        case 0: v = p.b.binary(random() % 2 ? Prim::max : Prim::min, x, y); break;
        case 1: v = p.b.select(p.b.binary(Prim::lt, x, y), x, y); break;
        case 2: v = p.b.binary(Prim::ne, x, y); break;
        case 3:
          if (is_integer(t))
            v = p.b.binary(random() % 2 ? Prim::shl : Prim::mul, x, y);
          else if (is_float(t))
            v = p.b.binary(Prim::add, x, y);
          break;
        case 4:
          if (t != DType::boolean) v = p.b.unary(random() % 2 ? Prim::neg : Prim::abs, x);
          break;
        default: v = p.b.convert(x, kTypes[random() % 10]);
      }
      if (is_float(p.b.dtype(v))) v = p.b.ternary(Prim::clamp, v, p.full(-100, v), p.full(100, v));
      values.push_back(v);
      if (random() % 4 == 0) p.output(v);
    }
    p.output(values.back());
    INFO("seed " << seed << "\n" << ir::print(p.g));
    REQUIRE(p.b.status().ok());
    REQUIRE(test::compare(p.g, 1e-6, seed) == "");
  }
}
