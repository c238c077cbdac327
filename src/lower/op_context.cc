// What the lowering of one op sees.
#include "src/lower/op_context.h"

#include <string>

#include "src/lower/replay.h"

namespace moai::lower {
namespace {

std::string text_of(const Shape& shape) {
  std::string s = "[";
  for (int i = 0; i < shape.rank(); i++) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + "]";
}

// Finds the outputs of an op and counts its lifted values. The segment is verified: lengths are in
// bounds.
struct Tail {
  std::vector<std::optional<wire::TensorArg>> outputs;
  uint32_t lifted = 0;
  std::optional<uint32_t> rng;  // lifted values before its seed
  Tail(const wire::Segment& segment, size_t op);
};

Tail::Tail(const wire::Segment& segment, size_t op) {
  uint32_t at = op == 0 ? 0 : segment.op_end[op - 1];
  while (at < segment.op_end[op]) {
    const uint64_t word = segment.words[at++];
    const auto behind = static_cast<uint32_t>(wire::words_behind(word));
    if (wire::tag_of(word) == wire::Tag::rng) rng = lifted;
    lifted += static_cast<uint32_t>(wire::lifted_by(word));
    if (wire::tag_of(word) == wire::Tag::outputs) {
      for (uint32_t i = 0; i < behind; i++) {
        const uint64_t t = segment.words[at + i];
        if (wire::tag_of(t) == wire::Tag::tensor)
          outputs.push_back(wire::TensorArg{wire::slot_of(t), wire::view_of(t)});
        else
          outputs.push_back(std::nullopt);
      }
    }
    at += behind;
  }
}

}  // namespace

using ir::ValueId;
using wire::ScalarArg;
using wire::TensorArg;

ValueId cast(ir::Builder& b, ValueId value, DType dtype) {
  if (dtype != DType::boolean || !is_float(b.dtype(value))) return b.convert(value, dtype);
  return b.binary(Prim::ne, value, b.constant(0, b.dtype(value), b.shape(value)));
}

OpContext::OpContext(Replay& replay, const wire::Segment& segment, size_t op,
                     uint32_t* scalar_index)
    : args(segment, op, &scalar_index_),
      b(replay.builder()),
      replay_(replay),
      segment_(segment),
      op_(op),
      scalar_index_(*scalar_index) {
  Tail tail(segment, op);
  outputs_ = std::move(tail.outputs);
  if (tail.rng) rng_index_ = *scalar_index + *tail.rng;
  *scalar_index += tail.lifted;
}

std::string_view OpContext::name() const { return segment_.names[segment_.op_name[op_]]; }

const wire::View& OpContext::view(const TensorArg& t) const { return segment_.views[t.view]; }

ValueId OpContext::read(const TensorArg& t) { return replay_.read(t); }

ValueId OpContext::read_next() {
  std::optional<TensorArg> t = args.tensor();
  if (t) return read(*t);
  fail(invalid("a tensor argument is None; the op needs it"));
  return ValueId::none;
}

std::optional<ValueId> OpContext::read_next_optional() {
  std::optional<TensorArg> t = args.tensor();
  if (!t) return std::nullopt;
  return read(*t);
}

std::vector<ValueId> OpContext::read_list() {
  std::vector<ValueId> values;
  for (const auto& t : args.tensors()) {
    if (t)
      values.push_back(read(*t));
    else
      fail(invalid("a tensor of a list is None; the op needs it"));
  }
  return values;
}

ValueId OpContext::scalar(const ScalarArg& s, DType dtype) {
  const bool is_real = s.kind == ScalarArg::Kind::real;
  if (s.is_lifted) {
    ValueId v = replay_.scalar_input(s.index, is_real);
    if (v == ValueId::none || b.dtype(v) == dtype) return v;
    return cast(b, v, dtype);
  }
  if (!is_real) return b.constant_int(s.i, dtype);
  if (is_float(dtype)) return b.constant(s.f, dtype);
  return cast(b, b.constant(s.f, DType::f64), dtype);
}

ValueId OpContext::scalar(const ScalarArg& s, DType dtype, const Shape& shape) {
  return b.broadcast_to(scalar(s, dtype), shape);
}

std::pair<ValueId, ValueId> OpContext::rng() {
  if (!rng_index_) {
    fail(invalid("has no generator argument; the op draws random numbers"));
    return {ValueId::none, ValueId::none};
  }
  return {replay_.scalar_input(*rng_index_, false), replay_.scalar_input(*rng_index_ + 1, false)};
}

const wire::View* OpContext::output_view(size_t i) {
  if (i < outputs_.size() && outputs_[i]) return &view(*outputs_[i]);
  fail(invalid("output " + std::to_string(i) + " is missing; the op writes it"));
  return nullptr;
}

DType OpContext::output_dtype(size_t i) {
  const wire::View* v = output_view(i);
  return v ? v->dtype : DType::f32;
}

const Shape& OpContext::output_shape(size_t i) {
  static const Shape kNone;
  const wire::View* v = output_view(i);
  return v ? v->sizes : kNone;
}

void OpContext::write(const TensorArg& output, ValueId value) {
  if (!b.status().ok() || value == ValueId::none) return;
  const wire::View& v = view(output);
  if (!(b.shape(value) == v.sizes))
    return fail(invalid("the client allocated an output of " + text_of(v.sizes) +
                        ", the op makes one of " + text_of(b.shape(value))));
  replay_.write(output, cast(b, value, v.dtype));
}

void OpContext::put(size_t i, ir::ValueId value) {
  if (wants(i) && b.status().ok()) write(*outputs_[i], value);
}

void OpContext::finish(std::span<const ValueId> values) {
  const auto& outs = outputs_;
  if (args.failed()) return;
  if (outs.size() != values.size())
    return fail(invalid("the client gives " + std::to_string(outs.size()) +
                        " outputs, the op writes " + std::to_string(values.size())));
  for (size_t i = 0; i < values.size(); i++)
    if (outs[i]) write(*outs[i], values[i]);
}

}  // namespace moai::lower
