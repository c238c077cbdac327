// Everything that makes PyTorch see the device, done by one call.
#include "src/frontend/bridge/register.h"

#include <torch/library.h>

#include <deque>
#include <map>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/collectives.h"
#include "src/frontend/bridge/direct.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/fallback.h"
#include "src/frontend/bridge/guard.h"
#include "src/frontend/bridge/hooks.h"
#include "src/frontend/bridge/kernels.h"
#include "src/frontend/bridge/op_tables.h"
#include "src/frontend/bridge/sparse.h"

namespace moai::bridge {
namespace {

using c10::DispatchKey;

// Lives as long as the process: PyTorch unregisters what a Library registered when it dies.
torch::Library& library(const char* space, DispatchKey key) {
  static auto& all = *new std::deque<torch::Library>;
  return all.emplace_back(torch::Library::IMPL, space, key, __FILE__, __LINE__);
}

void register_fallbacks() {
  library("_", DispatchKey::CUDA)
      .fallback(torch::CppFunction::makeFromBoxedFunction<&boxed_kernel>());
  for (DispatchKey key : {DispatchKey::NestedTensorCUDA, DispatchKey::QuantizedCUDA})
    library("_", key).fallback(torch::CppFunction::makeFromBoxedFunction<&refuse_layout>());
}

// A PyTorch with CUDA brings kernels that would call a driver. Each gives way to the boxed kernel,
// and many of these to one of ours later: the last registration counts.
void replace_cuda_kernels() {
  for (DispatchKey key :
       {DispatchKey::CUDA, DispatchKey::NestedTensorCUDA, DispatchKey::QuantizedCUDA}) {
    std::map<std::string, torch::Library*> libraries;
    for (const c10::OperatorName& n :
         c10::Dispatcher::singleton().getRegistrationsForDispatchKey(key)) {
      const std::string space = n.name.substr(0, n.name.find(':'));
      torch::Library*& lib = libraries[space];
      if (lib == nullptr) lib = &library(space.c_str(), key);
      lib->impl(c10::toString(n).c_str(),
                key == DispatchKey::CUDA
                    ? torch::CppFunction::makeFromBoxedFunction<&boxed_kernel>()
                    : torch::CppFunction::makeFromBoxedFunction<&refuse_layout>());
    }
  }
}

// An operator that PyTorch takes apart above autograd would lose its gradient to a kernel of ours.
// Where autograd has a rule of its own (silu_backward), the parts are only for devices without a
// kernel.
bool may_have_kernel(const c10::OperatorHandle& op) {
  return (!op.hasKernelForDispatchKey(DispatchKey::CompositeImplicitAutograd) ||
          op.hasKernelForDispatchKey(DispatchKey::Autograd)) &&
         !op.hasKernelForDispatchKey(DispatchKey::CUDA);
}

void register_whole(torch::Library& lib, const c10::OperatorName& name) {
  auto op = c10::Dispatcher::singleton().findSchema(name);
  if (!op || !may_have_kernel(*op)) return;
  lib.impl(c10::toString(name).c_str(), torch::CppFunction::makeFromBoxedFunction<&boxed_kernel>());
}

c10::OperatorName name_of(std::string_view text) {
  size_t dot = text.find('.');
  std::string overload(dot == std::string_view::npos ? "" : text.substr(dot + 1));
  return {"aten::" + std::string(text.substr(0, dot)), overload};
}

// Lists of tensors in one record, not one a tensor.
void register_lists(torch::Library& lib) {
  for (const c10::OperatorName& n : c10::Dispatcher::singleton().getAllOpNames())
    if (n.name.starts_with("aten::_foreach_") || n.name.starts_with("aten::_fused_ada") ||
        n.name.starts_with("aten::_fused_sgd") || n.name.starts_with("aten::_amp_"))
      register_whole(lib, n);
}

}  // namespace

void install() {
  struct Silent final : c10::WarningHandler {
    void process(const c10::Warning&) override {}  // "overriding a previously registered kernel"
  } silent;
  c10::WarningUtils::WarningHandlerGuard guard(&silent);
  register_allocator();
  register_guard();
  register_fallbacks();
  replace_cuda_kernels();
  register_sparse();
  register_collectives();
  torch::Library& lib = library("aten", DispatchKey::CUDA);
  register_factories(lib);
  register_indexing(lib);
  register_attention(lib);
  register_cat(lib);
  register_direct(lib);
  for (const char* name : whole_ops()) register_whole(lib, name_of(name));
  register_lists(lib);
  for (const char* name : {"_thnn_fused_lstm_cell", "_thnn_fused_lstm_cell_backward_impl",
                           "_thnn_fused_gru_cell", "_thnn_fused_gru_cell_backward"})
    register_whole(lib, name_of(name));
  register_python_ops();
  register_profiler();
  install_hooks();
}

}  // namespace moai::bridge
