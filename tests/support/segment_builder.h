// Writes segments by hand, in the order a client would record them:
//
//   SegmentBuilder s;
//   auto x = s.input(DType::f32, {2, 3});
//   auto y = s.fresh(DType::f32, {2, 3});
//   s.op("add.Tensor").tensor(x).tensor(x).scalar(1.0).out({y});
#pragma once
#include <bit>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/wire/reader.h"
#include "src/wire/segment.h"

namespace moai::testing {

using wire::TensorArg;

class SegmentBuilder {
 public:
  // One op being written. Arguments in schema order, then out().
  class Op {
   public:
    explicit Op(SegmentBuilder& s) : s_(s) {}
    Op& none() { return word(wire::make_word(wire::Tag::none)); }
    Op& tensor(TensorArg t) { return word(wire::make_tensor(t.slot, t.view)); }
    Op& tensors(const std::vector<std::optional<TensorArg>>& list) {
      word(wire::make_word(wire::Tag::tensor_list, static_cast<int64_t>(list.size())));
      for (const auto& t : list) t ? tensor(*t) : none();
      return *this;
    }
    Op& integer(int64_t v) { return word(wire::make_word(wire::Tag::integer, v)); }
    Op& dtype(DType t) { return integer(static_cast<int64_t>(t)); }
    Op& integers(const std::vector<int64_t>& list) {
      word(wire::make_word(wire::Tag::integer_list, static_cast<int64_t>(list.size())));
      for (int64_t v : list) word(static_cast<uint64_t>(v));
      return *this;
    }
    Op& real(double v) {
      word(wire::make_word(wire::Tag::real));
      return word(std::bit_cast<uint64_t>(v));
    }
    Op& text(std::string_view t) {
      s_.segment_.texts.emplace_back(t);
      return word(
          wire::make_word(wire::Tag::text, static_cast<int64_t>(s_.segment_.texts.size() - 1)));
    }
    // Lifted values.
    Op& scalar(double v) {
      return word(wire::make_word(wire::Tag::scalar_real)).lift(std::bit_cast<uint64_t>(v));
    }
    Op& scalar_int(int64_t v) {
      return word(wire::make_word(wire::Tag::scalar_int)).lift(static_cast<uint64_t>(v));
    }
    Op& scalar_bool(bool v) { return word(wire::make_word(wire::Tag::scalar_bool)).lift(v); }
    Op& scalars(const std::vector<double>& list) {
      word(wire::make_scalar_list(list.size(), wire::Tag::scalar_real, false));
      for (double v : list) lift(std::bit_cast<uint64_t>(v));
      return *this;
    }
    Op& rng(int64_t seed, int64_t offset) {
      return word(wire::make_word(wire::Tag::rng))
          .lift(static_cast<uint64_t>(seed))
          .lift(static_cast<uint64_t>(offset));
    }
    // Ends the op.
    void out(const std::vector<std::optional<TensorArg>>& list) {
      word(wire::make_word(wire::Tag::outputs, static_cast<int64_t>(list.size())));
      for (const auto& t : list) t ? tensor(*t) : none();
      s_.segment_.op_end.push_back(static_cast<uint32_t>(s_.segment_.words.size()));
    }

   private:
    Op& word(uint64_t w) {
      s_.segment_.words.push_back(w);
      return *this;
    }
    Op& lift(uint64_t bits) {
      s_.scalars_.push_back(bits);
      s_.segment_.scalar_count++;
      return *this;
    }
    SegmentBuilder& s_;
  };

  Op op(std::string_view name) {
    segment_.names.emplace_back(name);
    segment_.op_name.push_back(static_cast<uint32_t>(segment_.names.size() - 1));
    return Op(*this);
  }

  uint32_t slot(uint64_t bytes, bool is_fresh) {
    segment_.slots.push_back({bytes, is_fresh});
    return static_cast<uint32_t>(segment_.slots.size() - 1);
  }
  TensorArg view(uint32_t slot, const wire::View& v) {
    segment_.views.push_back(v);
    return {slot, static_cast<uint32_t>(segment_.views.size() - 1)};
  }
  // A tensor on a storage that another one already has.
  TensorArg view(TensorArg of, const Shape& sizes, const Shape& strides, int64_t offset = 0) {
    wire::View v;
    v.dtype = segment_.views[of.view].dtype;
    v.offset = offset;
    v.sizes = sizes;
    v.strides = strides;
    return view(of.slot, v);
  }
  // Contiguous, on a storage of its own: bound, or first seen here.
  TensorArg input(DType dtype, const Shape& sizes) { return tensor(dtype, sizes, false); }
  TensorArg fresh(DType dtype, const Shape& sizes) { return tensor(dtype, sizes, true); }

  wire::Segment& segment() { return segment_; }
  const wire::Scalars& scalars() const { return scalars_; }

 private:
  TensorArg tensor(DType dtype, const Shape& sizes, bool is_fresh) {
    wire::View v;
    v.dtype = dtype;
    v.sizes = sizes;
    v.strides = contiguous_strides(sizes);
    return view(slot(static_cast<uint64_t>(sizes.numel()) * size_of(dtype), is_fresh), v);
  }

  wire::Segment segment_;
  wire::Scalars scalars_;
};

}  // namespace moai::testing
