// Operands of a contraction over one common space: [batch.., free a.., free b.., contract..], split
// where a view needs it. Splitting an axis of a contraction changes its attributes, not its result.
#include <algorithm>

#include "codegen/node_info.h"

namespace moai::codegen {
namespace {

using Role = DotAccess::Role;

int position(const Shape& list, int64_t axis) {
  for (int i = 0; i < list.rank(); i++)
    if (list[i] == axis) return i;
  return -1;
}

// A contraction while its views are folded: a space of any rank, so no Region.
class DotFolder {
 public:
  DotFolder(const ir::Graph& g, const Flags& is_copied, const ir::Node& n)
      : g_(g), is_copied_(is_copied) {
    const auto& a = std::get<DotAttrs>(n.attrs);
    access_.base[0] = n.operands[0];
    access_.base[1] = n.operands[1];
    const Shape& sa = g.type(n.operands[0]).shape;
    const Shape& sb = g.type(n.operands[1]).shape;
    Shape ca = contiguous_strides(sa), cb = contiguous_strides(sb);
    auto add = [&](Role role, int64_t size, int64_t in_a, int64_t in_b) {
      access_.sizes.push_back(size);
      access_.roles.push_back(role);
      access_.strides[0].push_back(in_a);
      access_.strides[1].push_back(in_b);
    };
    for (int i = 0; i < a.batch_a.rank(); i++) {
      int x = static_cast<int>(a.batch_a[i]), y = static_cast<int>(a.batch_b[i]);
      add(Role::batch, sa[x], ca[x], cb[y]);
    }
    for (int d = 0; d < sa.rank(); d++)
      if (position(a.batch_a, d) < 0 && position(a.contract_a, d) < 0)
        add(Role::free_a, sa[d], ca[d], 0);
    for (int d = 0; d < sb.rank(); d++)
      if (position(a.batch_b, d) < 0 && position(a.contract_b, d) < 0)
        add(Role::free_b, sb[d], 0, cb[d]);
    for (int i = 0; i < a.contract_a.rank(); i++) {
      int x = static_cast<int>(a.contract_a[i]), y = static_cast<int>(a.contract_b[i]);
      add(Role::contract, sa[x], ca[x], cb[y]);
    }
  }

  DotAccess run() {
    bool empty = std::find(access_.sizes.begin(), access_.sizes.end(), 0) != access_.sizes.end();
    for (int side = 0; side < 2 && !empty; side++) {
      DotAccess best = access_;
      while (step(side))
        if (is_even(side)) best = access_;
      access_ = std::move(best);
    }
    coalesce();
    return access_;
  }

 private:
  // Goes through one view below operand `side`; false at the end of the chain.
  bool step(int side) {
    ir::ValueId v = access_.base[side];
    const ir::Node* n = g_.def(v);
    if (!n || is_copied_[index_of(v)] || class_of(g_, *n) != NodeClass::view) return false;
    if (n->op == Prim::bitcast && !keeps_order(g_, *n)) return false;
    for (;;) {
      if (access_.sizes.size() > static_cast<size_t>(kRankMax)) return false;
      IndexMap map{access_.offset[side], Shape(std::span<const int64_t>(access_.strides[side]))};
      Fit fit = through_view(g_, *n, Shape(std::span<const int64_t>(access_.sizes)), map);
      if (fit.kind == Fit::no) return false;
      if (fit.kind == Fit::split) {
        if (access_.sizes.size() >= static_cast<size_t>(kRankMax)) return false;
        split(static_cast<size_t>(fit.dim), fit.inner);
        continue;
      }
      for (int64_t s : map.strides)
        if (s < 0) return false;
      access_.offset[side] = map.offset;
      access_.strides[side].assign(map.strides.begin(), map.strides.end());
      access_.base[side] = n->operands[0];
      return true;
    }
  }

  // Whether the operand is a list of matrices whose rows and columns are evenly spaced: what is not
  // would be gathered element by element on every use, a copy is gathered once.
  bool is_even(int side) const {
    for (Role role : {side == 0 ? Role::free_a : Role::free_b, Role::contract}) {
      int64_t next = 0;
      for (size_t d = access_.sizes.size(); d-- > 0;) {
        int64_t size = access_.sizes[d], stride = access_.strides[side][d];
        if (access_.roles[d] != role || size == 1) continue;
        if (next != 0 && stride != next) return false;
        next = stride * size;
        if (stride == 0) return false;
      }
    }
    return true;
  }

  void split(size_t dim, int64_t inner) {
    auto at = static_cast<std::ptrdiff_t>(dim);
    access_.sizes.insert(access_.sizes.begin() + at + 1, inner);
    access_.sizes[dim] /= inner;
    access_.roles.insert(access_.roles.begin() + at + 1, access_.roles[dim]);
    for (auto& s : access_.strides) {
      s.insert(s.begin() + at + 1, s[dim]);
      s[dim] *= inner;
    }
  }

  void coalesce() {
    for (size_t d = access_.sizes.size(); d-- > 1;) {
      size_t outer = d - 1;
      if (access_.roles[outer] != access_.roles[d]) continue;
      bool fits = true;
      for (auto& s : access_.strides)
        fits &= access_.sizes[outer] == 1 || access_.sizes[d] == 1 ||
                s[outer] == s[d] * access_.sizes[d];
      if (!fits) continue;
      for (auto& s : access_.strides) {
        if (access_.sizes[d] == 1) s[d] = s[outer];
        s.erase(s.begin() + static_cast<std::ptrdiff_t>(outer));
      }
      access_.sizes[d] *= access_.sizes[outer];
      access_.sizes.erase(access_.sizes.begin() + static_cast<std::ptrdiff_t>(outer));
      access_.roles.erase(access_.roles.begin() + static_cast<std::ptrdiff_t>(outer));
    }
  }

  const ir::Graph& g_;
  const Flags& is_copied_;
  DotAccess access_;
};

}  // namespace

DotAccess dot_access(const ir::Graph& g, const Flags& is_copied, const ir::Node& n) {
  return DotFolder(g, is_copied, n).run();
}

}  // namespace moai::codegen
