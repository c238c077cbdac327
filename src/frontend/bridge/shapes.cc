// Sizes, strides and dtypes of what an operator returns.
#include "src/frontend/bridge/shapes.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <mutex>
#include <unordered_map>

#include "src/base/hash.h"
#include "src/frontend/bridge/shape_rules.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

// About 40 MiB of rules; a program that needs more starts over.
constexpr size_t kRulesMax = 1 << 16;

void add_tensor(Hash128& h, const at::Tensor& t) {
  if (!t.defined()) return h.add(1);
  auto* impl = t.unsafeGetTensorImpl();
  h.add(2 | static_cast<uint64_t>(t.scalar_type()) << 8 | static_cast<uint64_t>(t.dim()) << 16 |
        uint64_t{is_device(t)} << 24 | uint64_t{impl->is_wrapped_number()} << 25 |
        uint64_t{t.is_conj()} << 26 | uint64_t{t.is_neg()} << 27);
  for (int64_t d : t.sizes()) h.add(static_cast<uint64_t>(d));
  for (int64_t d : t.strides()) h.add(static_cast<uint64_t>(d));
}

void add_value(Hash128& h, const c10::IValue& v, bool is_lifted);

void add_list(Hash128& h, const c10::IValue& v, bool is_lifted) {
  auto list = v.toListRef();
  h.add(3 | list.size() << 8);
  for (const c10::IValue& e : list) add_value(h, e, is_lifted);
}

void add_value(Hash128& h, const c10::IValue& v, bool is_lifted) {
  if (v.isTensor()) return add_tensor(h, v.toTensor());
  if (v.isList()) return add_list(h, v, is_lifted);
  if (v.isNone()) return h.add(4);
  if (v.isDouble()) {
    h.add(5);
    return is_lifted ? void() : h.add(std::bit_cast<uint64_t>(v.toDouble()));
  }
  if (v.isBool()) {
    h.add(6);
    return is_lifted ? void() : h.add(v.toBool());
  }
  if (v.isInt()) {
    h.add(7);
    return is_lifted ? void() : h.add(static_cast<uint64_t>(v.toInt()));
  }
  if (v.isComplexDouble()) return h.add(8);
  if (v.isString()) {
    h.add(9);
    return h.add(v.toStringRef());
  }
  h.add(10);
}

SegmentId key_of(const OpInfo& info, Arguments arguments) {
  Hash128 h;
  h.add(reinterpret_cast<uintptr_t>(&info));
  for (size_t i = 0; i < arguments.size(); i++) {
    const ArgInfo& a = info.args[i];
    bool is_lifted = !a.is_structural && (a.kind == ArgKind::scalar || a.kind == ArgKind::scalars ||
                                          a.kind == ArgKind::real);
    add_value(h, arguments[i], is_lifted);
    // The result of a view begins where its base begins.
    if (info.is_view && arguments[i].isTensor() && arguments[i].toTensor().defined()) {
      h.add(static_cast<uint64_t>(arguments[i].toTensor().storage_offset()));
      h.add(arguments[i].toTensor().storage().nbytes());
    }
  }
  return h.id();
}

// Meta twins of the arguments; the same tensor gets the same twin.
class Twins {
 public:
  at::Tensor of(const at::Tensor& t) {
    // A number keeps its value: Python rules unpack it.
    if (!t.defined() || (!is_device(t) && t.dim() == 0)) return t;
    for (auto& [real, twin] : pairs_)
      if (real.is_same(t)) return twin;
    pairs_.emplace_back(t, make(t));
    return pairs_.back().second;
  }
  c10::IValue of(const c10::IValue& v) {
    if (v.isTensor()) return of(v.toTensor());
    if (v.isTensorList()) {
      c10::List<at::Tensor> l;
      for (const c10::IValue& e : v.toListRef()) l.push_back(of(e.toTensor()));
      return l;
    }
    if (v.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> l;
      for (const c10::IValue& e : v.toListRef())
        l.push_back(e.isTensor() ? std::optional<at::Tensor>(of(e.toTensor())) : std::nullopt);
      return l;
    }
    if (v.isDevice() && v.toDevice().is_cuda()) return c10::Device(c10::DeviceType::Meta);
    if (v.isGenerator()) return {};
    return v;
  }

 private:
  static at::Tensor make(const at::Tensor& t) {
    int64_t elements = static_cast<int64_t>(t.storage().nbytes() / t.itemsize());
    at::Tensor twin(at::detail::empty_strided_meta({elements}, {1}, t.scalar_type(), std::nullopt,
                                                   std::nullopt, std::nullopt));
    auto* impl = twin.unsafeGetTensorImpl();
    impl->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
    if (t.is_conj()) impl->_set_conj(true);
    if (t.is_neg()) impl->_set_neg(true);
    return twin;
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;
};

TensorSpec spec_of(const at::Tensor& t) {
  TensorSpec s;
  s.is_defined = t.defined();
  if (!s.is_defined) return s;
  s.dtype = t.scalar_type();
  s.sizes = c10::DimVector(t.sizes());
  s.strides = c10::DimVector(t.strides());
  s.offset = t.storage_offset();
  s.is_conj = t.is_conj();
  s.is_neg = t.is_neg();
  return s;
}

ReturnSpec return_of(const c10::IValue& result, const torch::jit::Stack& twins) {
  ReturnSpec r;
  if (result.isTensor()) {
    const at::Tensor& t = result.toTensor();
    for (size_t i = 0; t.defined() && i < twins.size(); i++)
      if (twins[i].isTensor() && twins[i].toTensor().is_same(t)) {
        r.kind = ReturnSpec::Kind::argument;
        r.argument = i;
        return r;
      }
    r.tensors.push_back(spec_of(t));
  } else if (result.isTensorList()) {
    r.kind = ReturnSpec::Kind::tensors;
    for (const c10::IValue& e : result.toListRef()) r.tensors.push_back(spec_of(e.toTensor()));
  } else {
    r.kind = ReturnSpec::Kind::value;
    r.value = result;
  }
  return r;
}

// Leaves the twins of the results on the stack.
void run_rule(const OpInfo& info, torch::jit::Stack* stack) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  std::string_view name = info.name;
  if (name.starts_with("aten::")) name.remove_prefix(sizeof "aten::" - 1);
  if (const c10::KernelFunction* rule = shape_rule_of(name))
    return rule->callBoxed(info.op, kMetaKeys, stack);
  // An out= form has the shapes of the functional one.
  const c10::KernelFunction* functional =
      info.has_out_argument ? shape_rule_of(info.record_name) : nullptr;
  if (!functional) return info.op.redispatchBoxed(kMetaKeys, stack);
  for (size_t i = info.args.size(); i-- > 0;)
    if (info.args[i].is_out) stack->erase(stack->begin() + static_cast<ptrdiff_t>(i));
  functional->callBoxed(info.op, kMetaKeys, stack);
}

std::shared_ptr<const Shapes> run_meta(const OpInfo& info, Arguments arguments) {
  Twins twins;
  torch::jit::Stack stack, before;
  for (const c10::IValue& v : arguments) stack.push_back(twins.of(v));
  before = stack;
  run_rule(info, &stack);
  auto shapes = std::make_shared<Shapes>();
  Arguments results = Arguments(stack).last(info.return_count);
  for (size_t i = 0, written = 0; i < results.size(); i++) {
    if (!info.outputs_given || !results[i].isTensor()) {
      shapes->returns.push_back(return_of(results[i], before));
      continue;
    }
    // What a rule returns for a written argument need not be that argument's twin.
    while (written < info.args.size() && !info.args[written].is_written) written++;
    ReturnSpec same;
    same.kind = ReturnSpec::Kind::argument;
    same.argument = written;
    shapes->returns.push_back(same);
    if (info.args[written].is_out && results[i].toTensor().defined() &&
        results[i].toTensor().sizes() != arguments[written].toTensor().sizes())
      shapes->resized.emplace_back(written, spec_of(results[i].toTensor()));
    written++;
  }
  return shapes;
}

}  // namespace

std::shared_ptr<const Shapes> infer_shapes(const OpInfo& info, Arguments arguments) {
  struct Table {
    std::mutex mutex;
    std::unordered_map<SegmentId, std::shared_ptr<const Shapes>, SegmentIdHash> rules;
  };
  static auto* table = new Table();
  if (info.lacks_shape_rule) return nullptr;
  SegmentId key = key_of(info, arguments);
  {
    std::lock_guard lock(table->mutex);
    if (auto it = table->rules.find(key); it != table->rules.end()) return it->second;
  }
  std::shared_ptr<const Shapes> shapes;
  try {  // never under a lock: a Meta kernel may be Python and wait for the GIL
    shapes = run_meta(info, arguments);
  } catch (const c10::NotImplementedError&) {
    info.lacks_shape_rule = true;
    return nullptr;
  } catch (const c10::Error&) {
    throw;
  } catch (const std::exception&) {
    return nullptr;  // a Python rule refused: the caller's way finds out why
  }
  std::lock_guard lock(table->mutex);
  if (table->rules.size() >= kRulesMax) table->rules.clear();
  return table->rules[key] = shapes;
}

}  // namespace moai::bridge
