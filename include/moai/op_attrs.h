// Attributes of the primitives. A node keeps one of these; a device kernel receives the same one.
// All are plain values: equality, hash and text form come from their fields (visit()), never by
// hand.
#pragma once
#include <cstdint>
#include <string_view>
#include <variant>

#include "moai/shape.h"

namespace moai {

enum class ReduceKind : uint8_t { sum, prod, max, min, any, all, logsumexp };
enum class ScatterKind : uint8_t { set, add, mul, max, min };
enum class Bounds : uint8_t { error, clip };

struct NoAttrs {
  static constexpr std::string_view kName = "";
  template <class F>
  void visit(F&&) {}
  bool operator==(const NoAttrs&) const = default;
};
// constant: the value, in the field that fits the dtype (bool and integers: i).
struct ConstantAttrs {
  double f = 0;
  int64_t i = 0;
  static constexpr std::string_view kName = "constant";
  template <class F>
  void visit(F&& v) {
    v("f", f), v("i", i);
  }
  bool operator==(const ConstantAttrs&) const = default;
};
// iota, gather, scatter, take_along, concat, sort: one axis and what goes with it.
struct AxisAttrs {
  int64_t axis = 0;
  static constexpr std::string_view kName = "axis";
  template <class F>
  void visit(F&& v) {
    v("axis", axis);
  }
  bool operator==(const AxisAttrs&) const = default;
};
struct IndexAttrs {  // gather, scatter, take_along, scatter_along
  int64_t axis = 0;
  ScatterKind kind = ScatterKind::set;  // scatters only
  Bounds bounds = Bounds::error;
  static constexpr std::string_view kName = "index";
  template <class F>
  void visit(F&& v) {
    v("axis", axis), v("kind", kind), v("bounds", bounds);
  }
  bool operator==(const IndexAttrs&) const = default;
};
struct DimsAttrs {  // transpose: dims[i] = operand axis of result axis i; broadcast_in_dim: result
                    // axis of operand axis i; reverse: axes
  Shape dims;
  static constexpr std::string_view kName = "dims";
  template <class F>
  void visit(F&& v) {
    v("dims", dims);
  }
  bool operator==(const DimsAttrs&) const = default;
};
struct SliceAttrs {  // slice, update_slice: per dimension, step >= 1
  Shape start, step;
  static constexpr std::string_view kName = "slice";
  template <class F>
  void visit(F&& v) {
    v("start", start), v("step", step);
  }
  bool operator==(const SliceAttrs&) const = default;
};
struct PadAttrs {  // per dimension; lo and hi may be negative
  Shape lo, hi, interior;
  static constexpr std::string_view kName = "pad";
  template <class F>
  void visit(F&& v) {
    v("lo", lo), v("hi", hi), v("interior", interior);
  }
  bool operator==(const PadAttrs&) const = default;
};
struct ReduceAttrs {  // axes ascending; any and all take bool
  ReduceKind kind = ReduceKind::sum;
  Shape axes;
  static constexpr std::string_view kName = "reduce";
  template <class F>
  void visit(F&& v) {
    v("kind", kind), v("axes", axes);
  }
  bool operator==(const ReduceAttrs&) const = default;
};
struct ScanAttrs {  // scan (sum prod max min logsumexp), scan_arg and arg_reduce (max min)
  ReduceKind kind = ReduceKind::sum;
  int64_t axis = 0;
  static constexpr std::string_view kName = "scan";
  template <class F>
  void visit(F&& v) {
    v("kind", kind), v("axis", axis);
  }
  bool operator==(const ScanAttrs&) const = default;
};
// reduce_window, max_pool_idx: over the last window.rank() dimensions. Padding is the identity.
struct WindowAttrs {
  ReduceKind kind = ReduceKind::max;
  Shape window, stride, dilation, pad_lo, pad_hi;
  static constexpr std::string_view kName = "window";
  template <class F>
  void visit(F&& v) {
    v("kind", kind), v("window", window), v("stride", stride), v("dilation", dilation),
        v("pad_lo", pad_lo), v("pad_hi", pad_hi);
  }
  bool operator==(const WindowAttrs&) const = default;
};
// Axes of a and b, pairwise. Result: batch axes in order, free axes of a, free axes of b.
struct DotAttrs {
  Shape batch_a, batch_b, contract_a, contract_b;
  static constexpr std::string_view kName = "dot";
  template <class F>
  void visit(F&& v) {
    v("batch_a", batch_a), v("batch_b", batch_b), v("contract_a", contract_a),
        v("contract_b", contract_b);
  }
  bool operator==(const DotAttrs&) const = default;
};
// conv: y[n,o,p] = sum x'[n,c,p*stride + q*dilation - pad_lo] w[o,c,q], x' is x with lhs_dilation-1
// zeros between elements. flip: the kernel is read backwards (data gradients). conv_wgrad(x, dy):
// the same numbers as the conv whose weight gradient it is (lhs_dilation 1). Spatial rank 1 to 3.
struct ConvAttrs {
  Shape stride, pad_lo, pad_hi, dilation, lhs_dilation;
  int64_t groups = 1;
  bool flip = false;
  static constexpr std::string_view kName = "conv";
  template <class F>
  void visit(F&& v) {
    v("stride", stride), v("pad_lo", pad_lo), v("pad_hi", pad_hi), v("dilation", dilation),
        v("lhs_dilation", lhs_dilation), v("groups", groups), v("flip", flip);
  }
  bool operator==(const ConvAttrs&) const = default;
};
struct SortAttrs {  // sort: k unused; topk: the k best
  int64_t axis = 0, k = 0;
  bool descending = false;
  static constexpr std::string_view kName = "sort";
  template <class F>
  void visit(F&& v) {
    v("axis", axis), v("k", k), v("descending", descending);
  }
  bool operator==(const SortAttrs&) const = default;
};
// q [B,H,Q,E], k [B,G,K,E], v [B,G,K,F], H a multiple of G; bias broadcasts to [B,H,Q,K] and is
// added to scale*qk; causal keeps key <= query. A row without keys gives NaN. Dropout: operands
// key, offset (0-dim i64) follow when dropout > 0; mask element = index in [B,H,Q,K].
struct SdpaAttrs {
  double scale = 1, dropout = 0;
  bool causal = false, has_bias = false;
  static constexpr std::string_view kName = "sdpa";
  template <class F>
  void visit(F&& v) {
    v("scale", scale), v("dropout", dropout), v("causal", causal), v("has_bias", has_bias);
  }
  bool operator==(const SdpaAttrs&) const = default;
};

using Attrs =
    std::variant<NoAttrs, ConstantAttrs, AxisAttrs, IndexAttrs, DimsAttrs, SliceAttrs, PadAttrs,
                 ReduceAttrs, ScanAttrs, WindowAttrs, DotAttrs, ConvAttrs, SortAttrs, SdpaAttrs>;

}  // namespace moai
