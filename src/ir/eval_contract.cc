// dot_general and the convolutions as sums over index tuples; f64 and wrapping i64.
#include "src/ir/eval_call.h"

namespace moai::ir {
namespace {

// A sum of products in the arithmetic of the dtype.
class DotSum {
 public:
  explicit DotSum(DType dtype) : is_real_(is_float(dtype)) {}
  void add(const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
    if (is_real_)
      real_ += get_real(a, i) * get_real(b, j);
    else
      int_ += static_cast<uint64_t>(get_int(a, i)) * static_cast<uint64_t>(get_int(b, j));
  }
  void store(Tensor& t, int64_t i) const {
    is_real_ ? set_real(t, i, real_) : set_int(t, i, static_cast<int64_t>(int_));
  }

 private:
  bool is_real_;
  double real_ = 0;
  uint64_t int_ = 0;
};

// Axes of an operand that are neither batch nor contracted.
std::vector<int> free_axes(int rank, const Shape& batch, const Shape& contract) {
  std::vector<int> axes;
  for (int i = 0; i < rank; i++) {
    bool taken = false;
    for (int64_t x : batch) taken |= x == i;
    for (int64_t x : contract) taken |= x == i;
    if (!taken) axes.push_back(i);
  }
  return axes;
}

void eval_dot(const Call& c) {
  const DotAttrs& d = c.attrs<DotAttrs>();
  const Tensor &a = *c.in[0], &b = *c.in[1];
  const Shape &sa = shape_of(a), &sb = shape_of(b);
  std::vector<int> free_a = free_axes(sa.rank(), d.batch_a, d.contract_a);
  std::vector<int> free_b = free_axes(sb.rank(), d.batch_b, d.contract_b);
  Shape summed;
  for (int64_t i : d.contract_a) summed.push_back(sa[static_cast<int>(i)]);
  int64_t out = 0;
  for_each_index(shape_of(*c.out[0]), [&](const Shape& index) {
    Shape at_a = Shape::filled(sa.rank(), 0), at_b = Shape::filled(sb.rank(), 0);
    int k = 0;
    for (int i = 0; i < d.batch_a.rank(); i++, k++) {
      at_a[static_cast<int>(d.batch_a[i])] = index[k];
      at_b[static_cast<int>(d.batch_b[i])] = index[k];
    }
    for (int i : free_a) at_a[i] = index[k++];
    for (int i : free_b) at_b[i] = index[k++];
    DotSum sum(a.type.dtype);
    for_each_index(summed, [&](const Shape& q) {
      for (int i = 0; i < q.rank(); i++) {
        at_a[static_cast<int>(d.contract_a[i])] = q[i];
        at_b[static_cast<int>(d.contract_b[i])] = q[i];
      }
      sum.add(a, offset_of(at_a, sa), b, offset_of(at_b, sb));
    });
    sum.store(*c.out[0], out++);
  });
}

Shape spatial(const Shape& s) { return Shape(s.span().subspan(2)); }
Shape join(int64_t n, int64_t c, const Shape& rest) {
  Shape s{n, c};
  for (int64_t d : rest) s.push_back(d);
  return s;
}

// Input position that result position p and kernel position q meet; false between and outside
// elements.
bool input_position(const ConvAttrs& a, const Shape& p, const Shape& q, const Shape& size,
                    Shape& at) {
  at = p;
  for (int d = 0; d < p.rank(); d++) {
    int64_t i = p[d] * a.stride[d] + q[d] * a.dilation[d] - a.pad_lo[d];
    if (i < 0 || i % a.lhs_dilation[d] || i / a.lhs_dilation[d] >= size[d]) return false;
    at[d] = i / a.lhs_dilation[d];
  }
  return true;
}

Shape kernel_position(const ConvAttrs& a, const Shape& q, const Shape& window) {
  Shape k = q;
  for (int d = 0; a.flip && d < q.rank(); d++) k[d] = window[d] - 1 - q[d];
  return k;
}

void eval_conv(const Call& c) {
  const ConvAttrs& a = c.attrs<ConvAttrs>();
  const Tensor &x = *c.in[0], &w = *c.in[1];
  const Shape &sx = shape_of(x), &sw = shape_of(w), &sy = shape_of(*c.out[0]);
  Shape size = spatial(sx), window = spatial(sw);
  int64_t channels = sw[1], per_group = sw[0] / a.groups, out = 0;
  for_each_index(sy, [&](const Shape& index) {
    int64_t n = index[0], o = index[1], first = o / per_group * channels;
    Shape p = spatial(index), at;
    DotSum sum(x.type.dtype);
    for_each_index(window, [&](const Shape& q) {
      if (!input_position(a, p, q, size, at)) return;
      Shape k = kernel_position(a, q, window);
      for (int64_t ch = 0; ch < channels; ch++)
        sum.add(x, offset_of(join(n, first + ch, at), sx), w, offset_of(join(o, ch, k), sw));
    });
    sum.store(*c.out[0], out++);
  });
}

void eval_wgrad(const Call& c) {
  const ConvAttrs& a = c.attrs<ConvAttrs>();
  const Tensor &x = *c.in[0], &dy = *c.in[1];
  const Shape &sx = shape_of(x), &sy = shape_of(dy), &sw = shape_of(*c.out[0]);
  Shape size = spatial(sx), window = spatial(sw), result = spatial(sy);
  int64_t per_group = sw[0] / a.groups, out = 0;
  for_each_index(sw, [&](const Shape& index) {
    int64_t o = index[0], channel = o / per_group * sw[1] + index[1];
    // flip: the element stands where the kernel is read backwards.
    Shape q = kernel_position(a, spatial(index), window), at;
    DotSum sum(x.type.dtype);
    for_each_index(result, [&](const Shape& p) {
      if (!input_position(a, p, q, size, at)) return;
      for (int64_t n = 0; n < sx[0]; n++)
        sum.add(x, offset_of(join(n, channel, at), sx), dy, offset_of(join(n, o, p), sy));
    });
    sum.store(*c.out[0], out++);
  });
}

}  // namespace

Status eval_contract(const Call& c) {
  if (c.node.op == Prim::dot_general)
    eval_dot(c);
  else if (c.node.op == Prim::conv)
    eval_conv(c);
  else
    eval_wgrad(c);
  return ok_status();
}

}  // namespace moai::ir
