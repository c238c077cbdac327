// Runs a segment with PyTorch's CPU kernels.
#include "tests/torch/local_replay.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <bit>
#include <set>

namespace moai::test {
namespace {

using at::Tensor;
using c10::IValue;
using c10::TypeKind;
using wire::Tag;

c10::ScalarType scalar_type_of(DType t) {
  using S = c10::ScalarType;
  constexpr S k[] = {S::Double,       S::Float,         S::Half,       S::BFloat16, S::Long,
                     S::Int,          S::Short,         S::Char,       S::Byte,     S::Bool,
                     S::ComplexFloat, S::ComplexDouble, S::ComplexHalf};
  return k[static_cast<size_t>(t)];
}

Tensor look_at(const Tensor& bytes, const wire::View& v) {
  auto t = at::detail::make_tensor<c10::TensorImpl>(
      c10::Storage(bytes.storage()), c10::DispatchKeySet(c10::DispatchKey::CPU),
      c10::scalarTypeToTypeMeta(scalar_type_of(v.dtype)));
  t.unsafeGetTensorImpl()->set_sizes_and_strides(
      at::IntArrayRef(v.sizes.begin(), v.sizes.end()),
      at::IntArrayRef(v.strides.begin(), v.strides.end()), v.offset);
  if (v.is_conj) t._set_conj(true);
  if (v.is_neg) t._set_neg(true);
  return t;
}

std::optional<c10::OperatorHandle> find(const std::string& record_name) {
  size_t dot = record_name.find('.');
  return c10::Dispatcher::singleton().findSchema(
      {"aten::" + record_name.substr(0, dot),
       dot == std::string::npos ? "" : record_name.substr(dot + 1)});
}

// A cursor over the words of one op, with what they refer to.
struct Cursor {
  const wire::Segment& segment;
  const wire::Scalars& scalars;
  const std::vector<Tensor>& slots;
  size_t word, end;
  size_t* next_scalar;

  uint64_t take() {
    TORCH_CHECK(word < end, "an argument word is missing");
    return segment.words[word++];
  }
  uint64_t scalar() {
    TORCH_CHECK(*next_scalar < scalars.size(), "a lifted value is missing");
    return scalars[(*next_scalar)++];
  }
  Tensor tensor(uint64_t w) {
    if (wire::tag_of(w) == Tag::none) return {};
    TORCH_CHECK(wire::tag_of(w) == Tag::tensor, "a tensor word is expected, not tag ",
                int(wire::tag_of(w)));
    return look_at(slots[wire::slot_of(w)], segment.views[wire::view_of(w)]);
  }
  bool at_outputs() const {
    return word < end && wire::tag_of(segment.words[word]) == Tag::outputs;
  }
  at::Generator generator() {
    uint64_t seed = scalar(), offset = scalar();
    return at::detail::createCPUGenerator(seed * 0x9E3779B97F4A7C15ull + offset);
  }
};

IValue number(Cursor* c, Tag tag) {
  uint64_t bits = c->scalar();
  if (tag == Tag::scalar_int) return static_cast<int64_t>(bits);
  if (tag == Tag::scalar_bool) return bits != 0;
  return std::bit_cast<double>(bits);
}

IValue number_as(const c10::TypePtr& type, const IValue& n) {
  if (type->kind() == TypeKind::FloatType) return n.toScalar().toDouble();
  if (type->kind() != TypeKind::TensorType) return n;
  Tensor t = at::scalar_tensor(n.toScalar(), n.isDouble() ? c10::kDouble
                                             : n.isBool() ? c10::kBool
                                                          : c10::kLong);
  t.unsafeGetTensorImpl()->set_wrapped_number(true);
  return t;
}

IValue integer_as(const c10::TypePtr& type, int64_t v) {
  if (type->kind() == TypeKind::BoolType) return v != 0;
  if (type->kind() == TypeKind::ScalarTypeType)
    return static_cast<int64_t>(scalar_type_of(static_cast<DType>(v)));
  return v;
}

IValue tensors_as(const c10::TypePtr& type, Cursor* c, int64_t count) {
  bool is_optional =
      type->expectRef<c10::ListType>().getElementType()->kind() == TypeKind::OptionalType;
  c10::List<Tensor> plain;
  c10::List<std::optional<Tensor>> optional;
  for (int64_t i = 0; i < count; i++) {
    Tensor t = c->tensor(c->take());
    is_optional ? optional.push_back(t.defined() ? std::optional(t) : std::nullopt)
                : plain.push_back(t);
  }
  return is_optional ? IValue(optional) : IValue(plain);
}

IValue integers_as(const c10::TypePtr& type, Cursor* c, int64_t count) {
  bool is_bool = type->kind() == TypeKind::ListType &&
                 type->expectRef<c10::ListType>().getElementType()->kind() == TypeKind::BoolType;
  c10::List<bool> flags;
  c10::List<int64_t> numbers;
  for (int64_t i = 0; i < count; i++) {
    int64_t v = static_cast<int64_t>(c->take());
    is_bool ? flags.push_back(v != 0) : numbers.push_back(v);
  }
  return is_bool ? IValue(flags) : IValue(numbers);
}

IValue scalars_of(Cursor* c, const wire::ScalarList& said) {
  c10::List<at::Scalar> list;
  IValue value;
  for (uint64_t i = 0; i < said.count; i++) {
    if (i < said.entries) value = number(c, said.kind);
    list.push_back(value.toScalar());
  }
  return list;
}

IValue argument(const c10::Argument& a, Cursor* c) {
  c10::TypePtr type = a.real_type();
  if (type->kind() == TypeKind::OptionalType)
    type = type->expectRef<c10::OptionalType>().getElementType();
  uint64_t w = c->take();
  int64_t payload = wire::payload_of(w);
  switch (wire::tag_of(w)) {
    case Tag::none:
      return type->kind() == TypeKind::TensorType && a.real_type()->kind() == TypeKind::TensorType
                 ? IValue(Tensor())
                 : IValue();
    case Tag::tensor: return c->tensor(w);
    case Tag::tensor_list: return tensors_as(type, c, payload);
    case Tag::integer: return integer_as(type, payload);
    case Tag::integer_wide: return integer_as(type, static_cast<int64_t>(c->take()));
    case Tag::integer_list: return integers_as(type, c, payload);
    case Tag::real: return std::bit_cast<double>(c->take());
    case Tag::real_list: {
      c10::List<double> list;
      for (int64_t i = 0; i < payload; i++) list.push_back(std::bit_cast<double>(c->take()));
      return list;
    }
    case Tag::scalar_int:
    case Tag::scalar_real:
    case Tag::scalar_bool: return number_as(type, number(c, wire::tag_of(w)));
    case Tag::scalar_list: return scalars_of(c, wire::scalar_list_of(w));
    case Tag::text: return c->segment.texts[static_cast<size_t>(payload)];
    case Tag::rng: return c->generator();
    case Tag::outputs: break;
  }
  TORCH_CHECK(false, "argument ", a.name(), " is missing");
}

// How to make the tensor, which a factory's record leaves to its output.
IValue default_of(const c10::Argument& a, const Cursor& c) {
  if (a.name() != "dtype") return {};
  return static_cast<int64_t>(
      scalar_type_of(c.segment.views[wire::view_of(c.segment.words[c.word + 1])].dtype));
}

std::vector<Tensor> outputs_of(Cursor* c) {
  uint64_t w = c->take();
  TORCH_CHECK(wire::tag_of(w) == Tag::outputs, "outputs are expected, not tag ",
              int(wire::tag_of(w)));
  std::vector<Tensor> outputs;
  for (int64_t i = 0; i < wire::payload_of(w); i++) outputs.push_back(c->tensor(c->take()));
  TORCH_CHECK(c->word == c->end, "words follow the outputs");
  return outputs;
}

void store(const Tensor& output, const Tensor& result) {
  if (!output.defined()) return;
  TORCH_CHECK(result.defined(), "an output has no result");
  TORCH_CHECK(output.sizes() == result.sizes(), "an output of sizes ", output.sizes(), " gets ",
              result.sizes());
  TORCH_CHECK(output.scalar_type() == result.scalar_type(), "an output of ", output.scalar_type(),
              " gets ", result.scalar_type());
  if (!output.is_same(result)) output.copy_(result);
}

// Draws without a generator argument; the word that brings the state follows the arguments.
void replay_dropout(torch::jit::Stack* stack, Cursor* c) {
  Tensor input = (*stack)[0].toTensor();
  double keep = 1 - (*stack)[1].toDouble();
  TORCH_CHECK(wire::tag_of(c->take()) == Tag::rng, "dropout: the random state is missing");
  Tensor mask =
      at::empty_like(input, input.options().dtype(at::kBool)).bernoulli_(keep, c->generator());
  *stack = {at::mul(at::mul(input, mask), 1 / keep), mask};
}

std::vector<Tensor> flatten(const torch::jit::Stack& stack) {
  std::vector<Tensor> flat;
  for (const IValue& v : stack) {
    if (v.isTensor()) flat.push_back(v.toTensor());
    if (v.isTensorList())
      for (const IValue& e : v.toListRef()) flat.push_back(e.toTensor());
  }
  return flat;
}

void run(const std::string& name, Cursor* c) {
  auto op = find(name);
  TORCH_CHECK(op, "no operator of this name");
  torch::jit::Stack stack;
  std::vector<size_t> given;
  for (const c10::Argument& a : op->schema().arguments()) {
    if (a.is_out() && a.alias_info() && a.alias_info()->isWrite())
      given.push_back(stack.size()), stack.emplace_back();
    else
      stack.push_back(c->at_outputs() ? default_of(a, *c) : argument(a, c));
  }
  torch::jit::Stack before = stack;
  if (name == "native_dropout") {
    replay_dropout(&stack, c);
    std::vector<Tensor> outputs = outputs_of(c);
    for (size_t i = 0; i < 2; i++) store(outputs[i], stack[i].toTensor());
    return;
  }
  std::vector<Tensor> outputs = outputs_of(c);
  for (size_t i = 0; i < given.size(); i++) stack[given[i]] = outputs.at(i);
  bool writes = false;
  for (const c10::Argument& a : op->schema().arguments())
    writes |= a.alias_info() && a.alias_info()->isWrite();
  op->callBoxed(&stack);
  if (writes) return;  // it wrote into the views themselves
  std::vector<Tensor> results = flatten(stack);
  if (name == "native_batch_norm")  // the running statistics were written in place
    for (size_t i : {3, 4})
      results.push_back(before[i].isTensor() ? before[i].toTensor() : Tensor());
  TORCH_CHECK(results.size() == outputs.size(), outputs.size(), " outputs for ", results.size(),
              " results");
  for (size_t i = 0; i < results.size(); i++) store(outputs[i], results[i]);
}

}  // namespace

Tensor new_bytes(size_t bytes) {
  return Tensor(at::detail::empty_generic({static_cast<int64_t>(bytes)}, c10::GetCPUAllocator(),
                                          c10::DispatchKeySet(c10::DispatchKey::CPU), c10::kByte,
                                          std::nullopt));
}

bool can_replay(const std::string& record_name) {
  auto op = find(record_name);
  if (!op) return false;
  for (c10::DispatchKey key : {c10::DispatchKey::CPU, c10::DispatchKey::CompositeExplicitAutograd,
                               c10::DispatchKey::CompositeExplicitAutogradNonFunctional,
                               c10::DispatchKey::CompositeImplicitAutograd})
    if (op->hasKernelForDispatchKey(key))
      return record_name.find("overrideable") == std::string::npos;
  return false;
}

Status replay(const wire::Segment& segment, const wire::Execute& execute, LocalStorages* storages) {
  MOAI_RETURN_IF_ERROR(wire::verify(segment));
  std::vector<Tensor> slots(segment.slots.size());
  for (auto [slot, id] : execute.bindings) slots[slot] = (*storages)[id];
  std::set<uint32_t> live(execute.live_out.begin(), execute.live_out.end());
  uint64_t id = execute.first_fresh_id;
  for (uint32_t i = 0; i < slots.size(); i++) {
    if (!segment.slots[i].is_fresh) {
      if (!slots[i].defined())
        return internal_error("[replay] slot " + std::to_string(i) + " is bound to nothing");
      continue;
    }
    slots[i] = new_bytes(segment.slots[i].bytes);
    slots[i].zero_();
    if (live.count(i)) (*storages)[id] = slots[i];
    id++;
  }
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  size_t next_scalar = 0, begin = 0;
  for (size_t op = 0; op < segment.op_count(); op++) {
    Cursor c{segment, execute.scalars, slots, begin, segment.op_end[op], &next_scalar};
    const std::string& name = segment.names[segment.op_name[op]];
    try {
      run(name, &c);
    } catch (const c10::Error& e) {
      return internal_error("[replay] " + name + ": " + e.what_without_backtrace());
    } catch (const std::exception& e) {
      return internal_error("[replay] " + name + ": " + e.what());
    }
    begin = segment.op_end[op];
  }
  return next_scalar == execute.scalars.size()
             ? ok_status()
             : internal_error("[replay] lifted values are left over");
}

Status gather(const LocalStorages& storages, uint64_t id, const wire::View& view,
              std::span<std::byte> out) {
  auto it = storages.find(id);
  if (it == storages.end())
    return internal_error("[read] storage " + std::to_string(id) + " does not exist");
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  Tensor dense = look_at(it->second, view).contiguous();
  if (static_cast<size_t>(dense.nbytes()) != out.size())
    return internal_error("[read] sizes differ");
  std::memcpy(out.data(), dense.data_ptr(), out.size());
  return ok_status();
}

}  // namespace moai::test
