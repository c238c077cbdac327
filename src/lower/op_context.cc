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

}  // namespace

using ir::ValueId;
using wire::ScalarArg;
using wire::TensorArg;

OpContext::OpContext(Replay& replay, const wire::Segment& segment, size_t op,
                     uint32_t* scalar_index)
    : args(segment, op, scalar_index),
      b(replay.builder()),
      replay_(replay),
      segment_(segment),
      op_(op) {}

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
    if (t) values.push_back(read(*t));
    else fail(invalid("a tensor of a list is None; the op needs it"));
  }
  return values;
}

ValueId OpContext::scalar(const ScalarArg& s, DType dtype) {
  const bool is_real = s.kind == ScalarArg::Kind::real;
  if (s.is_lifted) {
    ValueId v = replay_.scalar_input(s.index, is_real);
    if (v == ValueId::none || b.dtype(v) == dtype) return v;
    return b.convert(v, dtype);
  }
  if (!is_real) return b.constant_int(s.i, dtype);
  if (is_float(dtype)) return b.constant(s.f, dtype);
  return b.convert(b.constant(s.f, DType::f64), dtype);
}

ValueId OpContext::scalar(const ScalarArg& s, DType dtype, const Shape& shape) {
  return b.broadcast_to(scalar(s, dtype), shape);
}

std::pair<ValueId, ValueId> OpContext::rng() {
  auto words = args.rng();
  if (!words) return {b.constant_int(0, DType::i64), b.constant_int(0, DType::i64)};
  return {scalar(words->first, DType::i64), scalar(words->second, DType::i64)};
}

void OpContext::skip_argument() {
  switch (args.peek()) {
    case wire::Tag::tensor: args.tensor(); break;
    case wire::Tag::tensor_list: args.tensors(); break;
    case wire::Tag::integer_list: args.integers(); break;
    case wire::Tag::real: args.real(); break;
    case wire::Tag::scalar_int:
    case wire::Tag::scalar_real:
    case wire::Tag::scalar_bool: args.scalar(); break;
    case wire::Tag::scalar_list: args.scalars(); break;
    case wire::Tag::text: args.text(); break;
    case wire::Tag::rng: args.rng(); break;
    default: args.integer(); break;
  }
}

const std::vector<std::optional<TensorArg>>& OpContext::outputs() {
  if (!outputs_) {
    while (!args.at_end() && !args.failed() && args.peek() != wire::Tag::outputs) skip_argument();
    outputs_ = args.outputs();
  }
  return *outputs_;
}

const wire::View* OpContext::output_view(size_t i) {
  const auto& outs = outputs();
  if (i < outs.size() && outs[i]) return &view(*outs[i]);
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
  replay_.write(output, b.dtype(value) == v.dtype ? value : b.convert(value, v.dtype));
}

void OpContext::finish(std::span<const ValueId> values) {
  const auto& outs = outputs();
  if (args.failed()) return;
  if (outs.size() != values.size())
    return fail(invalid("the client gives " + std::to_string(outs.size()) +
                        " outputs, the op writes " + std::to_string(values.size())));
  for (size_t i = 0; i < values.size(); i++)
    if (outs[i]) write(*outs[i], values[i]);
}

}  // namespace moai::lower
