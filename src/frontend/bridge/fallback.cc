// Runs an operator on the client.
#include "src/frontend/bridge/fallback.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <optional>

#include "src/base/clock.h"
#include "src/frontend/bridge/encode.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/host_mirror.h"
#include "src/frontend/bridge/python_line.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/sparse.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

// Enough numbers for any kernel: a fallback draws from a generator of its own, seeded by the state.
constexpr uint64_t kFallbackWords = 4;

void check_allowed(const OpInfo& info, Arguments arguments) {
  if (!runtime().is_fallback_refused()) return;
  std::string dtype = "no tensor";
  for (const c10::IValue& v : arguments) {
    for_each_tensor(v, [&](const at::Tensor& t) {
      if (dtype == "no tensor" && is_device(t)) dtype = c10::toString(t.scalar_type());
    });
  }
  throw_unsupported(info.name, "the server does not run it for " + dtype +
                                   ", and --require=no-fallback forbids " +
                                   "running it on the client" + python_line());
}

// Kernels without a generator argument draw from the CPU's default one: lends it our state
// meanwhile.
class LentDefaultGenerator {
 public:
  explicit LentDefaultGenerator(const at::Generator& ours)
      : theirs_(at::detail::getDefaultCPUGenerator()), lock_(lent_mutex()) {
    std::lock_guard lock(theirs_.mutex());
    saved_ = at::Tensor(theirs_.unsafeGetGeneratorImpl()->get_state());
    theirs_.unsafeGetGeneratorImpl()->set_state(*ours.unsafeGetGeneratorImpl()->get_state());
  }
  ~LentDefaultGenerator() {
    std::lock_guard lock(theirs_.mutex());
    theirs_.unsafeGetGeneratorImpl()->set_state(*saved_.unsafeGetTensorImpl());
  }
  LentDefaultGenerator(const LentDefaultGenerator&) = delete;
  LentDefaultGenerator& operator=(const LentDefaultGenerator&) = delete;

 private:
  static std::mutex& lent_mutex() {
    static auto* m = new std::mutex();
    return *m;
  }
  at::Generator theirs_;
  std::lock_guard<std::mutex> lock_;
  at::Tensor saved_;
};

// Puts the CPU form of the arguments on the stack; fresh generators replace the device's.
void replace_arguments(const OpInfo& info, torch::jit::Stack* stack, size_t base,
                       HostMirrors* mirrors, const at::Generator& random) {
  for (size_t i = 0; i < info.args.size(); i++) {
    c10::IValue& v = (*stack)[base + i];
    if (info.args[i].kind == ArgKind::generator)
      v = random;
    else if (v.isDevice() && v.toDevice().is_cuda())
      v = c10::Device(c10::DeviceType::CPU);
    else
      v = mirrors->to_host(v);
  }
}

bool has_sparse_tensor(Arguments arguments) {
  bool found = false;
  for (const c10::IValue& v : arguments)
    for_each_tensor(v, [&](const at::Tensor& t) { found |= is_sparse(t); });
  return found;
}

bool has_generator_argument(const OpInfo& info) {
  for (const ArgInfo& a : info.args)
    if (a.kind == ArgKind::generator) return true;
  return false;
}

// Hidden results (op_tables): batch norm writes its running statistics.
bool is_hidden_write(const OpInfo& info, size_t argument) {
  return info.record_name == "native_batch_norm" && (argument == 3 || argument == 4);
}

[[noreturn]] void throw_layout(const std::string& op) {
  throw_unsupported(
      op,
      "only strided and sparse tensors exist on this device; nested and quantised ones "
      "stay on the cpu");
}

void check_layout(const OpInfo& info, const c10::IValue& result) {
  for_each_tensor(result, [&](const at::Tensor& t) {
    if (t.layout() != c10::kStrided && !is_sparse(t)) throw_layout(info.name);
  });
}

}  // namespace

void fall_back(const OpInfo& info, torch::jit::Stack* stack) {
  const size_t base = stack->size() - info.args.size();
  check_allowed(info, Arguments(*stack).subspan(base));
  runtime().check_usable();
  const uint64_t begin_ns = now_ns();
  HostMirrors mirrors;
  for (size_t i = 0; i < info.args.size(); i++)
    mirrors.announce((*stack)[base + i], info.args[i].is_written || is_hidden_write(info, i));

  at::Generator random;
  if (info.is_random)
    random = cpu_generator_for(draw(generator_of(Arguments(*stack).subspan(base)), kFallbackWords));
  replace_arguments(info, stack, base, &mirrors, random);
  {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    std::optional<LentDefaultGenerator> lent;
    if (info.is_random && !has_generator_argument(info)) lent.emplace(random);
    if (has_sparse_tensor(Arguments(*stack).subspan(base)))
      info.op.callBoxed(stack);
    else
      info.op.redispatchBoxed(kCpuKeys, stack);
  }
  mirrors.write_back();
  for (size_t i = stack->size() - info.return_count; i < stack->size(); i++) {
    check_layout(info, (*stack)[i]);
    (*stack)[i] = mirrors.to_device((*stack)[i]);
  }
  runtime().count_fallback(info.name, mirrors.bytes_moved(),
                           static_cast<double>(now_ns() - begin_ns) * 1e-6);
}

void refuse_layout(const c10::OperatorHandle& op, torch::jit::Stack*) {
  throw_layout(c10::toString(op.schema().operator_name()));
}

}  // namespace moai::bridge
