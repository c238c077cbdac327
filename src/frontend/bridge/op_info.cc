// Facts about one operator, found once.
#include "src/frontend/bridge/op_info.h"

#include <ATen/core/jit_type.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/op_tables.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

using c10::TypeKind;

ArgKind kind_of_list(const c10::TypePtr& element) {
  switch (element->kind()) {
    case TypeKind::TensorType: return ArgKind::tensors;
    case TypeKind::IntType:
    case TypeKind::SymIntType:
    case TypeKind::BoolType: return ArgKind::integers;
    case TypeKind::FloatType: return ArgKind::reals;
    case TypeKind::NumberType: return ArgKind::scalars;
    case TypeKind::OptionalType:
      return element->expectRef<c10::OptionalType>().getElementType()->kind() ==
                     TypeKind::TensorType
                 ? ArgKind::tensors
                 : ArgKind::unsupported;
    default: return ArgKind::unsupported;
  }
}

ArgKind kind_of(const c10::TypePtr& type) {
  switch (type->kind()) {
    case TypeKind::OptionalType:
      return kind_of(type->expectRef<c10::OptionalType>().getElementType());
    case TypeKind::TensorType: return ArgKind::tensor;
    case TypeKind::ListType: return kind_of_list(type->expectRef<c10::ListType>().getElementType());
    case TypeKind::NumberType: return ArgKind::scalar;
    case TypeKind::FloatType: return ArgKind::real;
    case TypeKind::IntType:
    case TypeKind::SymIntType:
    case TypeKind::BoolType:
    case TypeKind::MemoryFormatType: return ArgKind::integer;
    case TypeKind::ScalarTypeType: return ArgKind::dtype;
    case TypeKind::StringType: return ArgKind::text;
    case TypeKind::GeneratorType: return ArgKind::generator;
    case TypeKind::LayoutType:
    case TypeKind::DeviceObjType: return ArgKind::ignored;
    default: return ArgKind::unsupported;
  }
}

bool is_written(const c10::Argument& a) { return a.alias_info() && a.alias_info()->isWrite(); }

bool writes(const c10::FunctionSchema& s) {
  return std::any_of(s.arguments().begin(), s.arguments().end(), is_written);
}

// "add_" -> "add", "__ior__" -> "__or__"; unchanged for others.
std::string functional_base(const std::string& base) {
  if (base.starts_with("__i") && base.ends_with("__") && base != "__invert__")
    return "__" + base.substr(3);
  if (base.size() > 1 && base.back() == '_' && !base.ends_with("__"))
    return base.substr(0, base.size() - 1);
  return base;
}

// Overloads by base name, of the aten namespace.
const std::vector<c10::OperatorName>& overloads_of(const std::string& base) {
  static const auto* table = [] {
    auto* t = new std::unordered_map<std::string, std::vector<c10::OperatorName>>();
    for (const c10::OperatorName& n : c10::Dispatcher::singleton().getAllOpNames())
      if (n.name.starts_with("aten::")) (*t)[n.name].push_back(n);
    return t;
  }();
  static const std::vector<c10::OperatorName> none;
  auto it = table->find(base);
  return it == table->end() ? none : it->second;
}

std::vector<const c10::Argument*> inputs_of(const c10::FunctionSchema& s) {
  std::vector<const c10::Argument*> v;
  for (const c10::Argument& a : s.arguments())
    if (!(is_written(a) && a.is_out())) v.push_back(&a);
  return v;
}

bool same_inputs(const c10::FunctionSchema& a, const c10::FunctionSchema& b) {
  auto x = inputs_of(a), y = inputs_of(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                    [](const c10::Argument* p, const c10::Argument* q) {
                      return *p->real_type() == *q->real_type() ||
                             p->real_type()->annotation_str() == q->real_type()->annotation_str();
                    });
}

// A factory and its out= form: the functional one also takes how to make the tensor.
bool same_inputs_of_factory(const c10::FunctionSchema& with_out,
                            const c10::FunctionSchema& functional) {
  constexpr std::string_view kTail[] = {"dtype", "layout", "device", "pin_memory"};
  auto x = inputs_of(with_out), y = inputs_of(functional);
  if (y.size() != x.size() + std::size(kTail)) return false;
  for (size_t i = 0; i < std::size(kTail); i++)
    if (y[x.size() + i]->name() != kTail[i]) return false;
  return std::equal(x.begin(), x.end(), y.begin(),
                    [](const c10::Argument* p, const c10::Argument* q) {
                      return p->real_type()->annotation_str() == q->real_type()->annotation_str();
                    });
}

std::string short_name(const c10::OperatorName& n) {
  std::string s = n.name.starts_with("aten::") ? n.name.substr(6) : n.name;
  return n.overload_name.empty() ? s : s + "." + n.overload_name;
}

std::string record_name_of(const c10::FunctionSchema& schema) {
  const c10::OperatorName& self = schema.operator_name();
  if (!writes(schema) || !self.name.starts_with("aten::")) return short_name(self);
  std::vector<c10::OperatorName> found;
  for (const c10::OperatorName& n : overloads_of("aten::" + functional_base(self.name.substr(6)))) {
    auto op = c10::Dispatcher::singleton().findSchema(n);
    if (!op || writes(op->schema())) continue;
    if (same_inputs(schema, op->schema()) || same_inputs_of_factory(schema, op->schema())) {
      if (n.overload_name == self.overload_name) return short_name(n);
      found.push_back(n);
    }
  }
  return short_name(found.empty() ? self : found.front());
}

}  // namespace

OpInfo::OpInfo(const c10::OperatorHandle& handle)
    : op(handle),
      name(c10::toString(handle.schema().operator_name())),
      record_name(record_name_of(handle.schema())),
      wire_name(record_name) {
  const c10::FunctionSchema& schema = op.schema();
  return_count = schema.returns().size();
  bool has_generator = false;
  for (const c10::Argument& a : schema.arguments()) {
    ArgInfo info;
    info.kind = a.name() == "pin_memory" ? ArgKind::ignored : kind_of(a.real_type());
    info.is_written = bridge::is_written(a);
    info.is_out = info.is_written && a.is_out();
    info.is_structural = (info.kind == ArgKind::scalar || info.kind == ArgKind::real) &&
                         is_structural_number(record_name, a.name());
    info.is_structural_when_one = info.kind == ArgKind::scalar && is_structural_when_one(a.name());
    has_generator |= info.kind == ArgKind::generator;
    is_encodable &= info.kind != ArgKind::unsupported;
    args.push_back(info);
  }
  is_random = has_generator || op.hasTag(at::Tag::nondeterministic_seeded);
  adds_random_word = adds_random_word_at_end(record_name);
  has_dynamic_shape =
      op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output);
  check = argument_check_of(name);
  takes_host_tensors = bridge::takes_host_tensors(name);
  outputs_given = true;
  for (const c10::Argument& r : schema.returns()) {
    outputs_given &= bridge::is_written(r);
    is_view |= r.alias_info() && !r.alias_info()->isWrite();
  }
  has_out_argument =
      std::any_of(args.begin(), args.end(), [](const ArgInfo& a) { return a.is_out; });
  has_composite =
      !is_never_taken_apart(record_name) &&
      (op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd) ||
       op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutogradNonFunctional));
}

bool OpInfo::is_supported(DType first_operand) const {
  std::atomic<int8_t>& known = support_[static_cast<size_t>(first_operand)];
  int8_t value = known.load(std::memory_order_relaxed);
  if (value == 0) {
    StatusOr<bool> answer = runtime().session().supports(record_name, first_operand);
    throw_if_error(answer.status());
    value = *answer ? 1 : -1;
    known.store(value, std::memory_order_relaxed);
  }
  return value > 0;
}

const OpInfo& op_info(const c10::OperatorHandle& op) {
  struct Table {
    std::shared_mutex mutex;
    std::unordered_map<const c10::FunctionSchema*, std::unique_ptr<OpInfo>> infos;
  };
  static auto* table = new Table();
  const c10::FunctionSchema* key = &op.schema();
  {
    std::shared_lock lock(table->mutex);
    if (auto it = table->infos.find(key); it != table->infos.end()) return *it->second;
  }
  auto made = std::make_unique<OpInfo>(op);
  std::unique_lock lock(table->mutex);
  return *table->infos.try_emplace(key, std::move(made)).first->second;
}

}  // namespace moai::bridge
