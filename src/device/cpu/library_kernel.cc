// Which class makes the kernel of a primitive, and what every kernel may rely on.
#include "src/device/cpu/contiguous_operand.h"
#include "src/device/cpu/kernels.h"

namespace moai::cpu {
namespace {

// Operands and results of the kernel, as moai/device.h says.
size_t operand_count(const LibraryKernel& k) {
  switch (k.op) {
    case Prim::scatter:
    case Prim::scatter_along:
    case Prim::max_pool_idx:
    case Prim::scan_arg:
    case Prim::sort:
    case Prim::topk:
    case Prim::dot_general:
    case Prim::conv:
    case Prim::conv_wgrad:
    case Prim::gather:
    case Prim::take_along: return 3;
    case Prim::arg_reduce:
    case Prim::reduce_window:
    case Prim::scan:
    case Prim::nonzero: return 2;
    default: return k.operands.size();
  }
}

bool takes_strides(Prim op) {
  return op == Prim::dot_general || op == Prim::conv || op == Prim::conv_wgrad ||
         op == Prim::sdpa || op == Prim::sdpa_bwd || op == Prim::update_slice;
}

Status check(const LibraryKernel& k) {
  const std::string name = "[" + std::string(info(k.op).name) + "] ";
  if (k.operands.size() != operand_count(k) || k.operands.size() < 2)
    return invalid(name + "has the wrong number of operands");
  for (const Operand& x : k.operands) {
    if (x.sizes.rank() != x.strides.rank())
      return invalid(name + "an operand's strides do not fit its sizes");
    if (takes_strides(k.op)) continue;
    if (!is_in_order(x) || x.offset != 0)
      return unimplemented(
          name + "an operand with strides is not supported; copy it first: x.contiguous()");
  }
  return ok_status();
}

}  // namespace

Status refuse_complex(Prim op) {
  return unimplemented(
      "[" + std::string(info(op).name) +
      "] complex numbers are not supported; run this operator on the CPU: x.cpu()");
}

StatusOr<std::unique_ptr<Kernel>> make_library_kernel(const LibraryKernel& k,
                                                      const Target& target) {
  MOAI_RETURN_IF_ERROR(check(k));
  switch (k.op) {
    case Prim::dot_general: return make_dot_general(k, target);
    case Prim::conv: return make_conv(k, target);
    case Prim::conv_wgrad: return make_conv_wgrad(k, target);
    case Prim::gather:
    case Prim::take_along: return make_gather(k);
    case Prim::scatter:
    case Prim::scatter_along: return make_scatter(k);
    case Prim::update_slice: return make_update_slice(k);
    case Prim::reduce_window:
    case Prim::max_pool_idx: return make_window(k, target);
    case Prim::scan:
    case Prim::scan_arg:
    case Prim::arg_reduce: return make_scan(k);
    case Prim::sort:
    case Prim::topk: return make_sort(k);
    case Prim::nonzero: return make_nonzero(k);
    case Prim::sdpa: return make_sdpa(k, target);
    case Prim::sdpa_bwd: return make_sdpa_bwd(k, target);
    default:
      return unimplemented(
          "[" + std::string(info(k.op).name) +
          "] the cpu device has no library kernel of this name; emit it as a tile program");
  }
}

}  // namespace moai::cpu
