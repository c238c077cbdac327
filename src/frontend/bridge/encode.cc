// One call of an operator as words of the open segment.
#include "src/frontend/bridge/encode.h"

#include <c10/util/SmallVector.h>

#include <bit>

#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/operand.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using Words = c10::SmallVector<int64_t, 16>;

bool is_host_scalar(const at::Tensor& t) { return !is_device(t) && t.dim() == 0; }

bool can_encode_tensor(const at::Tensor& t) {
  if (!t.defined()) return true;
  if (is_host_scalar(t)) return dtype_of(t.scalar_type()) && !t.is_complex();
  return is_device(t) && is_expressible(t);
}

bool can_encode_list(const c10::IValue& v) {
  for (const c10::IValue& e : v.toListRef()) {
    if (e.isNone()) continue;
    const at::Tensor& t = e.toTensor();
    if (t.defined() && !(is_device(t) && is_expressible(t))) return false;
  }
  return true;
}

bool can_encode_numbers(const c10::IValue& v) {
  for (const c10::IValue& e : v.toListRef())
    if (e.isComplexDouble()) return false;
  return true;
}

bool can_encode_one(const ArgInfo& info, const c10::IValue& v) {
  if (v.isNone()) return true;
  switch (info.kind) {
    case ArgKind::tensor: return can_encode_tensor(v.toTensor());
    case ArgKind::tensors: return can_encode_list(v);
    case ArgKind::scalar: return !v.isComplexDouble() && !v.isSymInt() && !v.isSymFloat();
    case ArgKind::scalars: return can_encode_numbers(v);
    case ArgKind::dtype: return dtype_of(static_cast<c10::ScalarType>(v.toInt())).has_value();
    case ArgKind::integer: return !v.isSymInt();
    case ArgKind::unsupported: return false;
    case ArgKind::real:
    case ArgKind::reals:
    case ArgKind::integers:
    case ArgKind::text:
    case ArgKind::generator:
    case ArgKind::ignored: return true;
  }
  return false;
}

void put_tensor(frontend::Recorder& r, const at::Tensor& t) {
  if (!t.defined()) return r.none();
  if (is_host_scalar(t)) return put_number(r, number_of(t));
  r.tensor(storage_of(t), view_ref_of(t));
}

bool is_one(const c10::IValue& v) {
  return v.isDouble() ? v.toDouble() == 1 : v.isInt() && v.toInt() == 1;
}

void put_scalar(frontend::Recorder& r, const c10::IValue& v, bool is_structural) {
  if (is_structural)
    return v.isDouble() ? r.real(v.toDouble()) : r.integer(v.isBool() ? v.toBool() : v.toInt());
  if (v.isDouble()) return r.scalar_real(v.toDouble());
  if (v.isBool()) return r.scalar_bool(v.toBool());
  r.scalar_int(v.toInt());
}

void put_scalars(frontend::Recorder& r, const c10::IValue& v) {
  c10::SmallVector<uint64_t, 16> bits;
  bool any_real = false;
  for (const c10::IValue& e : v.toListRef()) any_real |= e.isDouble();
  for (const c10::IValue& e : v.toListRef()) {
    if (any_real)
      bits.push_back(std::bit_cast<uint64_t>(e.toScalar().toDouble()));
    else
      bits.push_back(static_cast<uint64_t>(e.toScalar().toLong()));
  }
  r.scalar_list({bits.data(), bits.size()},
                any_real ? wire::Tag::scalar_real : wire::Tag::scalar_int);
}

void put_integers(frontend::Recorder& r, const c10::IValue& v) {
  Words words;
  for (const c10::IValue& e : v.toListRef()) words.push_back(e.isBool() ? e.toBool() : e.toInt());
  r.integers({words.data(), words.size()});
}

void put_reals(frontend::Recorder& r, const c10::IValue& v) {
  c10::SmallVector<double, 8> values;
  for (const c10::IValue& e : v.toListRef()) values.push_back(e.toDouble());
  r.reals({values.data(), values.size()});
}

void put_one(frontend::Recorder& r, const ArgInfo& info, const c10::IValue& v,
             const RandomState& random) {
  if (info.kind == ArgKind::generator) return r.rng(random.seed, random.offset);
  if (v.isNone() || info.kind == ArgKind::ignored) return r.none();
  switch (info.kind) {
    case ArgKind::tensor: return put_tensor(r, v.toTensor());
    case ArgKind::tensors:
      r.list(v.toListRef().size());
      for (const c10::IValue& e : v.toListRef())
        e.isNone() ? r.none() : put_tensor(r, e.toTensor());
      return;
    case ArgKind::scalar:
      return put_scalar(r, v, info.is_structural || (info.is_structural_when_one && is_one(v)));
    case ArgKind::real:
      return info.is_structural ? r.real(v.toDouble()) : r.scalar_real(v.toDouble());
    case ArgKind::scalars: return put_scalars(r, v);
    case ArgKind::reals: return put_reals(r, v);
    case ArgKind::integer: return r.integer(v.isBool() ? v.toBool() : v.toInt());
    case ArgKind::integers: return put_integers(r, v);
    case ArgKind::dtype:
      return r.integer(static_cast<int64_t>(*dtype_of(static_cast<c10::ScalarType>(v.toInt()))));
    case ArgKind::text: return r.text(v.toStringRef());
    case ArgKind::generator:
    case ArgKind::ignored:
    case ArgKind::unsupported: return;
  }
}

// Two words for a 64-bit result, one for the others.
uint64_t random_words(std::span<const at::Tensor> outputs) {
  if (outputs.empty() || !outputs[0].defined()) return 0;
  return static_cast<uint64_t>(outputs[0].numel()) * (outputs[0].itemsize() == 8 ? 2 : 1);
}

}  // namespace

at::Generator generator_of(Arguments arguments) {
  for (const c10::IValue& v : arguments)
    if (v.isGenerator()) return v.toGenerator();
  return {};
}

bool can_encode(const OpInfo& info, Arguments arguments) {
  if (!info.is_encodable) return false;
  for (size_t i = 0; i < arguments.size(); i++)
    if (!can_encode_one(info.args[i], arguments[i])) return false;
  return true;
}

void record(const OpInfo& info, Arguments arguments, std::span<const at::Tensor> outputs) {
  RandomState random;
  if (info.is_random) random = draw(generator_of(arguments), random_words(outputs));
  record_random(info, arguments, outputs, random);
}

void record_random(const OpInfo& info, Arguments arguments, std::span<const at::Tensor> outputs,
                   const RandomState& random) {
  runtime().check_usable();
  frontend::Recorder& r = runtime().recorder();
  {
    std::lock_guard lock(r.mutex());
    r.begin(info.wire_name);
    for (size_t i = 0; i < arguments.size(); i++)
      if (!info.args[i].is_out) put_one(r, info.args[i], arguments[i], random);
    if (info.adds_random_word) r.rng(random.seed, random.offset);
    r.outputs(outputs.size());
    for (const at::Tensor& t : outputs) t.defined() && t.numel() ? put_tensor(r, t) : r.none();
    r.end();
  }
  runtime().after_record();
}

}  // namespace moai::bridge
