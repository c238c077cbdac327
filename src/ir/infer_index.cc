// Shape rules of indexing, sorting, random numbers and attention.
#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

Status check_index(const Rule& r, size_t i) {
  if (r.in[i].dtype == DType::i64 || r.in[i].dtype == DType::i32) return ok_status();
  return r.fail(std::string("indices must be i64 or i32, are ") + name_of(r.in[i].dtype));
}

// x.take(index, axis)
StatusOr<Shape> taken(const Rule& r, const Shape& x, const Shape& index, int axis) {
  if (x.rank() - 1 + index.rank() > kRankMax) return r.fail("the result's rank is too deep");
  Shape out;
  for (int i = 0; i < axis; i++) out.push_back(x[i]);
  for (int64_t d : index) out.push_back(d);
  for (int i = axis + 1; i < x.rank(); i++) out.push_back(x[i]);
  return out;
}

Status check_scatter_kind(const Rule& r, ScatterKind kind) {
  DType t = r.in[0].dtype;
  bool arithmetic = kind == ScatterKind::add || kind == ScatterKind::mul;
  if (kind == ScatterKind::set || (arithmetic ? is_float(t) || is_integer(t) : !is_complex(t)))
    return ok_status();
  return r.fail(std::string("this kind has no meaning for ") + name_of(t));
}

Types infer_take(const Rule& r) {  // gather, scatter
  const IndexAttrs& a = *r.get<IndexAttrs>();
  MOAI_RETURN_IF_ERROR(check_index(r, 1));
  MOAI_RETURN_IF_ERROR(r.check_axis(a.axis, r.in[0].shape.rank()));
  MOAI_ASSIGN_OR_RETURN(Shape out,
                        taken(r, r.in[0].shape, r.in[1].shape, static_cast<int>(a.axis)));
  if (r.op == Prim::gather) return std::vector<Type>{{r.in[0].dtype, out}};
  MOAI_RETURN_IF_ERROR(r.check_same_dtype(0, 2));
  MOAI_RETURN_IF_ERROR(check_scatter_kind(r, a.kind));
  if (r.in[2].shape != out)
    return r.fail("update must have shape " + to_text(out) + ", is " + to_text(r.in[2]));
  return std::vector<Type>{r.in[0]};
}

Types infer_along(const Rule& r) {  // take_along, scatter_along
  const IndexAttrs& a = *r.get<IndexAttrs>();
  MOAI_RETURN_IF_ERROR(check_index(r, 1));
  MOAI_RETURN_IF_ERROR(r.check_axis(a.axis, r.in[0].shape.rank()));
  Shape like = r.in[1].shape;
  if (like.rank() != r.in[0].shape.rank()) return r.fail("index and operand differ in rank");
  like[static_cast<int>(a.axis)] = r.in[0].shape[static_cast<int>(a.axis)];
  if (like != r.in[0].shape)
    return r.fail("sizes differ outside the axis: " + to_text(r.in[0]) + " and index " +
                  to_text(r.in[1]));
  if (r.op == Prim::take_along) return std::vector<Type>{{r.in[0].dtype, r.in[1].shape}};
  MOAI_RETURN_IF_ERROR(r.check_same_dtype(0, 2));
  MOAI_RETURN_IF_ERROR(check_scatter_kind(r, a.kind));
  if (r.in[2].shape != r.in[1].shape)
    return r.fail("update and index differ: " + to_text(r.in[2]) + " and " + to_text(r.in[1]));
  return std::vector<Type>{r.in[0]};
}

Types infer_sort(const Rule& r) {  // sort, topk
  const SortAttrs& a = *r.get<SortAttrs>();
  MOAI_RETURN_IF_ERROR(r.check_axis(a.axis, r.in[0].shape.rank()));
  if (is_complex(r.in[0].dtype)) return r.fail("complex numbers have no order");
  Type values = r.in[0];
  if (r.op == Prim::topk) {
    int64_t& size = values.shape[static_cast<int>(a.axis)];
    if (a.k < 0 || a.k > size)
      return r.fail("k " + std::to_string(a.k) + " is not within " + std::to_string(size) +
                    " elements");
    size = a.k;
  }
  return std::vector<Type>{values, {DType::i64, values.shape}};
}

Types infer_nonzero(const Rule& r) {
  const Shape& out = r.hint.shape;
  if (out.rank() != 2 || out[1] != r.in[0].shape.rank())
    return r.fail("result must be [size, " + std::to_string(r.in[0].shape.rank()) + "], is " +
                  to_text(out));
  if (is_complex(r.in[0].dtype)) return r.fail("has no meaning for complex numbers");
  return std::vector<Type>{{DType::i64, out}};
}

// q k v at operand `at`: [B,H,Q,E], [B,G,K,E], [B,G,K,F].
Status check_heads(const Rule& r, size_t at) {
  const Shape &q = r.in[at].shape, &k = r.in[at + 1].shape, &v = r.in[at + 2].shape;
  for (size_t i = 0; i < 3; i++) {
    if (r.in[at + i].shape.rank() != 4) return r.fail("query, key and value must have rank 4");
    MOAI_RETURN_IF_ERROR(r.check_same_dtype(at, at + i));
  }
  if (!is_float(r.in[at].dtype)) return r.fail("query, key and value must be floats");
  if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || q[3] != k[3] || k[2] != v[2])
    return r.fail("sizes differ: query " + to_text(q) + ", key " + to_text(k) + ", value " +
                  to_text(v));
  if (k[1] < 1 || q[1] % k[1]) return r.fail("heads of the query must be a multiple of the key's");
  return ok_status();
}

Status check_bias(const Rule& r, size_t at, const Shape& scores) {
  const Shape& bias = r.in[at].shape;
  bool ok = bias.rank() <= 4;
  for (int i = 0; ok && i < bias.rank(); i++)
    ok = bias[i] == 1 || bias[i] == scores[4 - bias.rank() + i];
  return ok ? ok_status()
            : r.fail("bias " + to_text(bias) + " does not broadcast to " + to_text(scores));
}

}  // namespace

Types infer_index(const Rule& r) {
  switch (r.op) {
    case Prim::gather:
    case Prim::scatter: return infer_take(r);
    case Prim::take_along:
    case Prim::scatter_along: return infer_along(r);
    case Prim::sort:
    case Prim::topk: return infer_sort(r);
    default: return infer_nonzero(r);
  }
}

Types infer_random(const Rule& r) {
  MOAI_RETURN_IF_ERROR(r.check_scalar(0, DType::i64));
  MOAI_RETURN_IF_ERROR(r.check_scalar(1, DType::i64));
  if (r.op == Prim::rng_bits) return std::vector<Type>{{DType::i64, r.hint.shape}};
  if (!is_float(r.hint.dtype)) return r.fail("draws floats");
  return std::vector<Type>{r.hint};
}

Types infer_attention(const Rule& r) {
  const SdpaAttrs& a = *r.get<SdpaAttrs>();
  bool backward = r.op == Prim::sdpa_bwd;
  size_t q_at = backward ? 1 : 0, fixed = backward ? 6 : 3;
  size_t want = fixed + (a.has_bias ? 1 : 0) + (a.dropout > 0 ? 2 : 0);
  if (r.in.size() != want) return r.fail("takes " + std::to_string(want) + " operands here");
  if (!(a.dropout >= 0 && a.dropout < 1)) return r.fail("dropout must be in [0, 1)");
  MOAI_RETURN_IF_ERROR(check_heads(r, q_at));
  const Shape &q = r.in[q_at].shape, &k = r.in[q_at + 1].shape, &v = r.in[q_at + 2].shape;
  if (a.has_bias) MOAI_RETURN_IF_ERROR(check_bias(r, fixed, {q[0], q[1], q[2], k[2]}));
  if (a.has_bias && r.in[fixed].dtype != r.in[q_at].dtype)
    return r.fail("bias must have the dtype of the query");
  for (size_t i = want - (a.dropout > 0 ? 2 : 0); i < want; i++)
    MOAI_RETURN_IF_ERROR(r.check_scalar(i, DType::i64));
  Type o{r.in[q_at].dtype, {q[0], q[1], q[2], v[3]}}, lse{DType::f32, {q[0], q[1], q[2]}};
  if (!backward) return std::vector<Type>{o, lse};
  if (r.in[0] != o || r.in[4] != o || r.in[5] != lse)
    return r.fail("gradient and result must be " + to_text(o) + ", lse " + to_text(lse));
  return std::vector<Type>{r.in[1], r.in[2], r.in[3]};
}

}  // namespace moai::ir
