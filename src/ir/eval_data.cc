// Primitives that make and move elements.
#include "src/ir/eval_call.h"

namespace moai::ir {
namespace {

void eval_iota(const Call& c) {
  Tensor& out = *c.out[0];
  AxisView v(shape_of(out), c.attrs<AxisAttrs>().axis);
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t i = 0; i < v.size; i++)
      for (int64_t n = 0; n < v.inner; n++) set_int(out, v.at(o, i, n), i);
}

void eval_constant(const Call& c) {
  const ConstantAttrs& a = c.attrs<ConstantAttrs>();
  Tensor& out = *c.out[0];
  for (int64_t i = 0; i < shape_of(out).numel(); i++)
    is_float(out.type.dtype) ? set_real(out, i, a.f) : set_int(out, i, a.i);
}

void eval_convert(const Call& c) {
  Tensor& out = *c.out[0];
  const Tensor& x = *c.in[0];
  for (int64_t i = 0; i < shape_of(out).numel(); i++)
    is_float(x.type.dtype) ? set_real(out, i, get_real(x, i)) : set_int(out, i, get_int(x, i));
}

// Result element from the operand index that `from` computes.
template <class F>
void eval_map(const Call& c, F&& from) {
  Tensor& out = *c.out[0];
  const Tensor& x = *c.in[0];
  int64_t i = 0;
  for_each_index(shape_of(out), [&](const Shape& index) {
    Shape at = Shape::filled(shape_of(x).rank(), 0);
    from(index, at);
    copy_element(out, i++, x, offset_of(at, shape_of(x)));
  });
}

void eval_broadcast(const Call& c) {
  const Shape &dims = c.attrs<DimsAttrs>().dims, &size = shape_of(*c.in[0]);
  eval_map(c, [&](const Shape& index, Shape& at) {
    for (int d = 0; d < at.rank(); d++) at[d] = size[d] == 1 ? 0 : index[static_cast<int>(dims[d])];
  });
}

void eval_transpose(const Call& c) {
  const Shape& perm = c.attrs<DimsAttrs>().dims;
  eval_map(c, [&](const Shape& index, Shape& at) {
    for (int d = 0; d < at.rank(); d++) at[static_cast<int>(perm[d])] = index[d];
  });
}

void eval_slice(const Call& c) {
  const SliceAttrs& a = c.attrs<SliceAttrs>();
  eval_map(c, [&](const Shape& index, Shape& at) {
    for (int d = 0; d < at.rank(); d++) at[d] = a.start[d] + index[d] * a.step[d];
  });
}

void eval_reverse(const Call& c) {
  const Shape &axes = c.attrs<DimsAttrs>().dims, &size = shape_of(*c.in[0]);
  eval_map(c, [&](const Shape& index, Shape& at) {
    at = index;
    for (int64_t d : axes)
      at[static_cast<int>(d)] = size[static_cast<int>(d)] - 1 - index[static_cast<int>(d)];
  });
}

void eval_update_slice(const Call& c) {
  const SliceAttrs& a = c.attrs<SliceAttrs>();
  Tensor& out = *c.out[0];
  out.data = c.in[0]->data;
  int64_t i = 0;
  for_each_index(shape_of(*c.in[1]), [&](const Shape& index) {
    Shape at = index;
    for (int d = 0; d < at.rank(); d++) at[d] = a.start[d] + index[d] * a.step[d];
    copy_element(out, offset_of(at, shape_of(out)), *c.in[1], i++);
  });
}

void eval_pad(const Call& c) {
  const PadAttrs& a = c.attrs<PadAttrs>();
  Tensor& out = *c.out[0];
  for (int64_t i = 0; i < shape_of(out).numel(); i++) copy_element(out, i, *c.in[1], 0);
  int64_t i = -1;
  for_each_index(shape_of(*c.in[0]), [&](const Shape& index) {
    i++;
    Shape at = index;
    for (int d = 0; d < at.rank(); d++) {
      at[d] = a.lo[d] + index[d] * (a.interior[d] + 1);
      if (at[d] < 0 || at[d] >= shape_of(out)[d]) return;  // cropped
    }
    copy_element(out, offset_of(at, shape_of(out)), *c.in[0], i);
  });
}

void eval_concat(const Call& c) {
  int64_t axis = c.attrs<AxisAttrs>().axis, start = 0;
  Tensor& out = *c.out[0];
  AxisView to(shape_of(out), axis);
  for (const Tensor* x : c.in) {
    AxisView from(shape_of(*x), axis);
    for (int64_t o = 0; o < from.outer; o++)
      for (int64_t i = 0; i < from.size; i++)
        for (int64_t n = 0; n < from.inner; n++)
          copy_element(out, to.at(o, start + i, n), *x, from.at(o, i, n));
    start += from.size;
  }
}

}  // namespace

Status eval_data(const Call& c) {
  switch (c.node.op) {
    case Prim::constant: eval_constant(c); break;
    case Prim::iota: eval_iota(c); break;
    case Prim::convert: eval_convert(c); break;
    case Prim::bitcast:
    case Prim::reshape: c.out[0]->data = c.in[0]->data; break;
    case Prim::broadcast_in_dim: eval_broadcast(c); break;
    case Prim::transpose: eval_transpose(c); break;
    case Prim::slice: eval_slice(c); break;
    case Prim::update_slice: eval_update_slice(c); break;
    case Prim::pad: eval_pad(c); break;
    case Prim::concat: eval_concat(c); break;
    case Prim::reverse: eval_reverse(c); break;
    default:
      return internal_error("[eval] " + std::string(info(c.node.op).name) + " has no evaluator");
  }
  return ok_status();
}

}  // namespace moai::ir
