// Recording without boxing.
#include "src/frontend/bridge/direct.h"

#include <mutex>

#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/shape_memory.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using Kind = Operand::Kind;

constexpr size_t kResultsMax = std::tuple_size_v<decltype(DirectResults::fresh)>;
constexpr size_t kWrittenMax = 4;

bool admit_tensor(const ArgInfo& info, Operand& o) {
  const at::Tensor& t = *o.tensor;
  if (!dtype_of(t.scalar_type())) return false;
  if (!is_device(t)) return t.dim() == 0 && !info.is_written && !t.is_complex();
  if (t.dim() > kRankMax || t.layout() != c10::kStrided || !t.has_storage()) return false;
  o.storage = storage_of(t);
  return o.storage != nullptr && fills_storage(t);
}

bool admit(const ArgInfo& info, Operand& o) {
  switch (o.kind) {
    case Kind::none: return !info.is_written;
    case Kind::tensor: return admit_tensor(info, o);
    case Kind::integer:
      return info.kind != ArgKind::dtype || dtype_of(static_cast<at::ScalarType>(o.integer));
    case Kind::other: return false;
    case Kind::boolean:
    case Kind::real:
    case Kind::integers:
    case Kind::text: return true;
  }
  return false;
}

void add_tensor(ShapeKey& key, const at::Tensor& t) {
  auto* impl = t.unsafeGetTensorImpl();
  key.add(static_cast<uint64_t>(Kind::tensor) | static_cast<uint64_t>(t.scalar_type()) << 8 |
          static_cast<uint64_t>(t.dim()) << 16 | uint64_t{is_device(t)} << 24 |
          uint64_t{impl->is_wrapped_number()} << 25 | uint64_t{t.is_conj()} << 26 |
          uint64_t{t.is_neg()} << 27);
  key.add(t.sizes());
  key.add(t.strides());
}

void add(ShapeKey& key, const ArgInfo& info, const Operand& o) {
  if (o.kind == Kind::tensor) return add_tensor(key, *o.tensor);
  key.add(static_cast<uint64_t>(o.kind) | o.count << 8);
  bool is_lifted =
      !info.is_structural && (info.kind == ArgKind::scalar || info.kind == ArgKind::real);
  switch (o.kind) {
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
      return is_lifted ? void()
                       : key.add(static_cast<uint64_t>(o.integer));  // or the bits of `real`
    case Kind::integers: return key.add(at::IntArrayRef(o.integers, o.count));
    case Kind::text:
      for (size_t i = 0; i < o.count; i++) key.add(static_cast<uint64_t>(o.text[i]));
      return;
    case Kind::tensor:
    case Kind::none:
    case Kind::other: return;
  }
}

ShapeMemory& shape_memory() {
  thread_local ShapeMemory memory;
  return memory;
}

// Either fresh results, or the one written argument as it is.
bool is_plain(const OpInfo& info, const Shapes& shapes) {
  if (!shapes.resized.empty() || shapes.returns.size() > kResultsMax) return false;
  if (info.outputs_given)
    return shapes.returns.size() == 1 && shapes.returns[0].kind == ReturnSpec::Kind::argument;
  for (const ReturnSpec& r : shapes.returns)
    if (r.kind != ReturnSpec::Kind::tensor || !r.tensors[0].is_defined) return false;
  return true;
}

const Shapes* shapes_of(const OpInfo& info, std::span<const Operand> operands,
                        const ShapeKey& key) {
  if (const Shapes* known = shape_memory().find(info, key)) return known;
  c10::SmallVector<c10::IValue, 8> arguments;
  for (const Operand& o : operands) arguments.push_back(boxed(o));
  auto shapes = infer_shapes(info, {arguments.data(), arguments.size()});
  if (!shapes || !is_plain(info, *shapes)) return nullptr;
  shape_memory().keep(info, key, shapes);
  return shapes.get();  // the memory holds it
}

void put_scalar(frontend::Recorder& r, const ArgInfo& info, const Operand& o) {
  bool is_one = o.kind == Kind::real ? o.real == 1 : o.kind == Kind::integer && o.integer == 1;
  if (!info.is_structural && !(info.is_structural_when_one && is_one)) return put_number(r, o);
  o.kind == Kind::real ? r.real(o.real) : r.integer(o.integer);
}

// The same words as encode.cc makes of a boxed argument.
void put(frontend::Recorder& r, const ArgInfo& info, const Operand& o) {
  if (o.kind == Kind::none || info.kind == ArgKind::ignored) return r.none();
  switch (info.kind) {
    case ArgKind::tensor:
      return o.storage ? r.tensor(o.storage, view_ref_of(*o.tensor))
                       : put_number(r, number_of(*o.tensor));
    case ArgKind::scalar: return put_scalar(r, info, o);
    case ArgKind::real: return info.is_structural ? r.real(o.real) : r.scalar_real(o.real);
    case ArgKind::integer: return r.integer(o.integer);
    case ArgKind::integers: return r.integers({o.integers, o.count});
    case ArgKind::dtype:
      return r.integer(static_cast<int64_t>(*dtype_of(static_cast<at::ScalarType>(o.integer))));
    case ArgKind::text: return r.text({o.text, o.count});
    default: return;  // can_be_direct() keeps them out
  }
}

struct Written {
  std::array<const at::Tensor*, kWrittenMax> tensors;
  size_t count = 0;
  bool has_elements = false;
  void add(const at::Tensor& t) {
    tensors[count++] = &t;
    has_elements |= t.numel() != 0;
  }
};

void append(const OpInfo& info, std::span<const Operand> operands, const Written& written) {
  frontend::Recorder& r = runtime().recorder();
  {
    std::lock_guard lock(r.mutex());
    r.begin(info.wire_name);
    for (size_t i = 0; i < operands.size(); i++)
      if (!info.args[i].is_out) put(r, info.args[i], operands[i]);
    r.outputs(written.count);
    for (size_t i = 0; i < written.count; i++) {
      const at::Tensor& t = *written.tensors[i];
      t.numel() ? r.tensor(storage_of(t), view_ref_of(t)) : r.none();
    }
    r.end();
  }
  runtime().after_record();
}

}  // namespace

bool can_be_direct(const OpInfo& info) {
  if (info.is_random || info.is_view || info.takes_host_tensors || info.has_dynamic_shape ||
      info.adds_random_word)
    return false;
  size_t written = 0;
  for (const ArgInfo& a : info.args) {
    if (a.kind == ArgKind::tensors || a.kind == ArgKind::scalars || a.kind == ArgKind::reals ||
        a.kind == ArgKind::generator || a.kind == ArgKind::unsupported)
      return false;
    written += a.is_written;
  }
  return written + info.return_count <= kWrittenMax;
}

bool record_direct(const OpInfo& info, std::span<Operand> operands, DirectResults* results) {
  ShapeKey key;
  std::optional<DType> dtype;
  for (size_t i = 0; i < operands.size(); i++) {
    if (!admit(info.args[i], operands[i])) return false;
    add(key, info.args[i], operands[i]);
    // As deciding_dtype() in boxed.cc.
    if (operands[i].storage && (!dtype || operands[i].tensor->is_complex()))
      dtype = dtype_of(operands[i].tensor->scalar_type());
  }
  if (key.is_too_long() || !dtype || !info.is_supported(*dtype)) return false;
  const Shapes* shapes = shapes_of(info, operands, key);
  if (!shapes) return false;
  runtime().check_usable();
  Written written;
  for (size_t i = 0; i < operands.size(); i++)
    if (info.args[i].is_written) written.add(*operands[i].tensor);
  for (size_t i = 0; i < shapes->returns.size(); i++) {
    const ReturnSpec& r = shapes->returns[i];
    if (r.kind == ReturnSpec::Kind::argument) {
      results->same = operands[r.argument].tensor;
      continue;
    }
    const TensorSpec& s = r.tensors[0];
    results->fresh[i] = empty_device(s.sizes, s.strides, s.dtype);
    written.add(results->fresh[i]);
  }
  if (written.has_elements) append(info, operands, written);
  return true;
}

}  // namespace moai::bridge
