// index and index_put: several index tensors at once, by NumPy's rules.
#include <algorithm>
#include <string>

#include "src/lower/indexing.h"
#include "src/lower/pointwise.h"

namespace moai::lower {
namespace {

using ir::ValueId;

struct Entry {
  int axis = 0;
  Expr index;
};

bool is_mask(DType t) { return t == DType::boolean || t == DType::u8; }

// The index tensors that are not None. axis: where each applies; a mask covers as many axes as it
// has.
std::vector<Entry> read_entries(OpContext& c, int rank) {
  std::vector<Entry> entries;
  int axis = 0;
  for (const auto& t : c.args.tensors()) {
    if (!t) {
      axis++;
      continue;
    }
    Expr e{&c.b, c.read(*t)};
    entries.push_back({axis, e});
    axis += is_mask(e.dtype()) ? e.rank() : 1;
  }
  if (axis > rank) c.fail(invalid("has more indices than the tensor has dimensions"));
  return entries;
}

bool has_mask(const std::vector<Entry>& entries) {
  return std::any_of(entries.begin(), entries.end(),
                     [](const Entry& e) { return is_mask(e.index.dtype()); });
}

// The tensor with its indexed axes made one, and one index into that.
struct Plan {
  Expr index;    // i64, broadcast shape of all indices
  Shape perm;    // axes of the tensor in the order that has the indexed ones together
  Shape joined;  // shape with them joined
  Shape spread;  // shape before joining
  int axis = 0;  // the joined axis
};

Plan plan_of(OpContext& c, const Shape& shape, const std::vector<Entry>& entries) {
  Plan p;
  Shape common;
  std::vector<bool> is_indexed(static_cast<size_t>(shape.rank()));
  for (const Entry& e : entries) {
    common = broadcast_shape(c, common, e.index.shape());
    is_indexed[static_cast<size_t>(e.axis)] = true;
  }
  const int first = entries.front().axis, last = entries.back().axis;
  const bool is_together = last - first + 1 == static_cast<int>(entries.size());
  p.axis = is_together ? first : 0;
  for (int i = 0; i < p.axis; i++) p.perm.push_back(i);
  for (const Entry& e : entries) p.perm.push_back(e.axis);
  for (int i = p.axis; i < shape.rank(); i++)
    if (!is_indexed[static_cast<size_t>(i)]) p.perm.push_back(i);
  int64_t size = 1;
  for (const Entry& e : entries) size *= shape[e.axis];
  for (int i = 0; i < shape.rank(); i++) p.spread.push_back(shape[static_cast<int>(p.perm[i])]);
  const int n = static_cast<int>(entries.size());
  for (int i = 0; i < shape.rank(); i++) {
    if (i == p.axis) p.joined.push_back(size);
    if (i < p.axis || i >= p.axis + n) p.joined.push_back(p.spread[i]);
  }
  Expr outside;
  for (const Entry& e : entries) {
    const auto extent = static_cast<double>(shape[e.axis]);
    Expr at{&c.b, c.b.broadcast_to(c.b.convert(e.index.v, DType::i64), common)};
    at = wrap(at, shape[e.axis]);
    if (n > 1) {  // a wrong index must not land in another row
      Expr bad = either(at < 0, at >= extent);
      outside = outside.b ? either(outside, bad) : bad;
    }
    p.index = p.index.b ? p.index * extent + at : at;
  }
  if (outside.b) p.index = select(outside, -1, p.index);
  return p;
}

Shape inverse(const Shape& perm) {
  Shape inv = Shape::filled(perm.rank(), 0);
  for (int i = 0; i < perm.rank(); i++) inv[static_cast<int>(perm[i])] = i;
  return inv;
}

void lower_index(OpContext& c) {  // self, indices
  ValueId x = c.read_next();
  Shape shape = c.b.shape(x);
  std::vector<Entry> entries = read_entries(c, shape.rank());
  if (!c.b.status().ok()) return;
  if (entries.empty()) return c.finish(x);
  if (has_mask(entries))
    return c.fail(unimplemented(
        "a mask decides the size of the result, which is not supported; index by mask.nonzero()"));
  Plan p = plan_of(c, shape, entries);
  ValueId rows = c.b.reshape(c.b.transpose(x, p.perm), p.joined);
  c.finish(c.b.gather(rows, p.index.v, p.axis));
}

// One value wherever a mask is set: no size depends on the data.
void put_masked(OpContext& c, Expr x, const std::vector<Entry>& entries, Expr value,
                bool accumulate) {
  if (entries.size() != 1 || value.shape().numel() != 1)
    return c.fail(
        unimplemented("several values through a mask are not supported; index by mask.nonzero()"));
  const Entry& e = entries[0];
  Shape dims;
  for (int i = 0; i < e.index.rank(); i++) {
    dims.push_back(e.axis + i);
    if (e.index.shape()[i] != x.shape()[e.axis + i])
      return c.fail(invalid("its mask has other sizes than the tensor"));
  }
  Expr mask{&c.b, c.b.broadcast_in_dim(true_of(e.index).v, x.shape(), dims)};
  Expr v = value.reshape({}).broadcast_to(x.shape());
  c.finish(select(mask, accumulate ? add_of(x, v) : v, x).v);
}

void lower_index_put(OpContext& c) {  // self, indices, values, accumulate
  Expr x{&c.b, c.read_next()};
  Shape shape = x.shape();
  std::vector<Entry> entries = read_entries(c, shape.rank());
  Operand given = next_operand(c);
  Expr values = as(c, given, x.dtype(), given.shape);
  const bool accumulate = c.has_more() && c.args.integer_or(0) != 0;
  if (!c.b.status().ok()) return;
  if (has_mask(entries)) return put_masked(c, x, entries, values, accumulate);
  if (entries.empty()) {
    Expr v = values.broadcast_to(shape);
    return c.finish(accumulate ? add_of(x, v).v : v.v);
  }
  Plan p = plan_of(c, shape, entries);
  std::vector<int64_t> target;
  for (int i = 0; i < p.joined.rank(); i++) {
    if (i != p.axis)
      target.push_back(p.joined[i]);
    else
      target.insert(target.end(), p.index.shape().begin(), p.index.shape().end());
  }
  Shape update = shape_of(c, target);
  if (!c.b.status().ok()) return;
  Expr rows{&c.b, c.b.reshape(c.b.transpose(x.v, p.perm), p.joined)};
  // Leading ones of the values may exceed the rank that is written.
  Shape squeezed = values.shape();
  while (squeezed.rank() > update.rank() && squeezed[0] == 1) squeezed.erase(0);
  values = values.reshape(squeezed).broadcast_to(update);
  Expr changed =
      scatter(accumulate ? ScatterKind::add : ScatterKind::set, rows, p.index, values, p.axis);
  c.finish(c.b.transpose(changed.reshape(p.spread).v, inverse(p.perm)));
}

constexpr OpRow kRows[] = {
    {"index.Tensor", kAll, lower_index},          {"_unsafe_index.Tensor", kAll, lower_index},
    {"index_put", kAll, lower_index_put},         {"index_put_", kAll, lower_index_put},
    {"_index_put_impl", kAll, lower_index_put},   {"_index_put_impl_", kAll, lower_index_put},
    {"_unsafe_index_put", kAll, lower_index_put},
};

}  // namespace

std::span<const OpRow> fancy_index_ops() { return kRows; }

}  // namespace moai::lower
