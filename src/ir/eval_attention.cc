// Scaled dot product attention and its gradients, a score matrix at a time.
//   S = scale * Q K^T + bias, P = softmax S, O = (P * M) V, M = dropout mask / (1 - p), lse =
//   logsumexp S D = sum dO * O, dV = (P * M)^T dO, dS = P * ((dO V^T) * M - D), dQ = scale dS K, dK
//   = scale dS^T Q
#include <cmath>
#include <limits>

#include "moai/philox.h"
#include "src/ir/eval_call.h"

namespace moai::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

class Attention {
 public:
  Attention(const Call& c, size_t q_at, size_t bias_at)
      : attrs(c.attrs<SdpaAttrs>()), q(*c.in[q_at]), k(*c.in[q_at + 1]), v(*c.in[q_at + 2]) {
    if (attrs.has_bias) bias_ = c.in[bias_at];
    if (attrs.dropout <= 0) return;
    size_t key_at = bias_at + (attrs.has_bias ? 1 : 0);
    seed_ = static_cast<uint64_t>(get_int(*c.in[key_at], 0));
    offset_ = static_cast<uint64_t>(get_int(*c.in[key_at + 1], 0));
  }
  int64_t batch() const { return shape_of(q)[0]; }
  int64_t heads() const { return shape_of(q)[1]; }
  int64_t queries() const { return shape_of(q)[2]; }
  int64_t keys() const { return shape_of(k)[2]; }
  int64_t width() const { return shape_of(q)[3]; }
  int64_t value_width() const { return shape_of(v)[3]; }

  int64_t q_row(int64_t b, int64_t h, int64_t i) const { return (b * heads() + h) * queries() + i; }
  // Row of k and v that query head h reads.
  int64_t k_row(int64_t b, int64_t h, int64_t j) const {
    int64_t groups = shape_of(k)[1];
    return (b * groups + h / (heads() / groups)) * keys() + j;
  }

  double score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (attrs.causal && j > i) return -kInf;
    double sum = 0;
    for (int64_t e = 0; e < width(); e++)
      sum += get_real(q, q_row(b, h, i) * width() + e) * get_real(k, k_row(b, h, j) * width() + e);
    return attrs.scale * sum + bias(b, h, i, j);
  }

  // Dropout: 0 or 1 / (1 - p), from the element's index in [B,H,Q,K].
  double mask(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (attrs.dropout <= 0) return 1;
    uint64_t element = static_cast<uint64_t>(q_row(b, h, i) * keys() + j);
    float u = uniform_f32(random_word(seed_, offset_, element));
    return static_cast<double>(u) >= attrs.dropout ? 1 / (1 - attrs.dropout) : 0;
  }

  const SdpaAttrs& attrs;
  const Tensor &q, &k, &v;

 private:
  double bias(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (!bias_) return 0;
    const Shape& s = shape_of(*bias_);
    Shape full{b, h, i, j}, at = s;
    for (int d = 0; d < s.rank(); d++) at[d] = s[d] == 1 ? 0 : full[4 - s.rank() + d];
    return get_real(*bias_, offset_of(at, s));
  }

  const Tensor* bias_ = nullptr;
  uint64_t seed_ = 0, offset_ = 0;
};

template <class F>
void for_each_row(const Attention& a, F&& f) {
  for (int64_t b = 0; b < a.batch(); b++)
    for (int64_t h = 0; h < a.heads(); h++)
      for (int64_t i = 0; i < a.queries(); i++) f(b, h, i);
}

void forward(const Call& c) {
  Attention a(c, 0, 3);
  for_each_row(a, [&](int64_t b, int64_t h, int64_t i) {
    std::vector<double> s(static_cast<size_t>(a.keys()));
    double largest = -kInf, sum = 0;
    for (int64_t j = 0; j < a.keys(); j++) {
      double x = s[static_cast<size_t>(j)] = a.score(b, h, i, j);
      largest = std::isnan(x) || x > largest ? x : largest;
    }
    double shift = std::isinf(largest) ? 0 : largest;
    for (double& x : s) sum += x = std::exp(x - shift);
    int64_t row = a.q_row(b, h, i), width = a.value_width();
    for (int64_t f = 0; f < width; f++) {
      double o = 0;
      for (int64_t j = 0; j < a.keys(); j++)
        o += s[static_cast<size_t>(j)] / sum * a.mask(b, h, i, j) *
             get_real(a.v, a.k_row(b, h, j) * width + f);
      // Without a key 0/0 makes the row NaN, also where it has no terms.
      set_real(*c.out[0], row * width + f, sum == 0 ? std::numeric_limits<double>::quiet_NaN() : o);
    }
    set_real(*c.out[1], row, shift + std::log(sum));
  });
}

void backward(const Call& c) {
  Attention a(c, 1, 6);
  const Tensor &grad = *c.in[0], &o = *c.in[4], &lse = *c.in[5];
  int64_t width = a.width(), value_width = a.value_width();
  std::vector<double> dk(static_cast<size_t>(shape_of(a.k).numel()));
  std::vector<double> dv(static_cast<size_t>(shape_of(a.v).numel()));
  for_each_row(a, [&](int64_t b, int64_t h, int64_t i) {
    int64_t row = a.q_row(b, h, i);
    double d = 0;
    for (int64_t f = 0; f < value_width; f++)
      d += get_real(grad, row * value_width + f) * get_real(o, row * value_width + f);
    std::vector<double> dq(static_cast<size_t>(width));
    for (int64_t j = 0; j < a.keys(); j++) {
      int64_t other = a.k_row(b, h, j);
      double p = std::exp(a.score(b, h, i, j) - get_real(lse, row)), m = a.mask(b, h, i, j), dp = 0;
      for (int64_t f = 0; f < value_width; f++) {
        dp += get_real(grad, row * value_width + f) * get_real(a.v, other * value_width + f);
        dv[static_cast<size_t>(other * value_width + f)] +=
            p * m * get_real(grad, row * value_width + f);
      }
      double ds = a.attrs.scale * p * (dp * m - d);
      for (int64_t e = 0; e < width; e++) {
        dq[static_cast<size_t>(e)] += ds * get_real(a.k, other * width + e);
        dk[static_cast<size_t>(other * width + e)] += ds * get_real(a.q, row * width + e);
      }
    }
    for (int64_t e = 0; e < width; e++)
      set_real(*c.out[0], row * width + e, dq[static_cast<size_t>(e)]);
  });
  for (size_t i = 0; i < dk.size(); i++) set_real(*c.out[1], static_cast<int64_t>(i), dk[i]);
  for (size_t i = 0; i < dv.size(); i++) set_real(*c.out[2], static_cast<int64_t>(i), dv[i]);
}

}  // namespace

Status eval_attention(const Call& c) {
  c.node.op == Prim::sdpa ? forward(c) : backward(c);
  return ok_status();
}

}  // namespace moai::ir
