// The kernels that record without boxing: one for each structured operator, and for others that
// every step calls.
#include <ATen/Operators.h>
#include <ATen/core/boxing/impl/boxing.h>

#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/device.h"
#include "src/frontend/bridge/direct.h"

namespace moai::bridge {
namespace {

template <class R>
R take(DirectResults& results) {
  if constexpr (std::is_same_v<R, at::Tensor&>)
    return const_cast<at::Tensor&>(*results.same);
  else if constexpr (std::is_same_v<R, at::Tensor>)
    return std::move(results.fresh[0]);
  else
    return R(std::move(results.fresh[0]), std::move(results.fresh[1]));
}

template <class Op, class Schema = typename Op::schema>
struct Direct;

template <class Op, class R, class... A>
struct Direct<Op, R(A...)> {
  static const OpInfo& find() {
    return op_info(c10::Dispatcher::singleton().findSchemaOrThrow(Op::name, Op::overload_name));
  }
  static R call(A... arguments) {
    static const OpInfo& info = find();
    static const bool is_direct = can_be_direct(info);
    if (is_direct) {
      std::array<Operand, sizeof...(A)> operands{Operand(arguments)...};
      DirectResults results;
      if (record_direct(info, operands, &results)) return take<R>(results);
    }
    static const auto fallback = c10::BoxedKernel::makeFromFunction<&boxed_kernel>();
    return c10::impl::BoxedKernelWrapper<R(A...)>::call(fallback, info.op, kDeviceKeys,
                                                        std::forward<A>(arguments)...);
  }
};

template <class Op>
void add(torch::Library& lib) {
  std::string name = Op::name;
  if (*Op::overload_name) name += std::string(".") + Op::overload_name;
  lib.impl(name.c_str(), torch::CppFunction(&Direct<Op>::call));
}

}  // namespace

void register_direct(torch::Library& lib) {
#define MOAI_STRUCTURED(op) add<at::_ops::op>(lib);
#define MOAI_STRUCTURED_OVERLOAD(op, overload) add<at::_ops::op##_##overload>(lib);
#define MOAI_STRUCTURED_OUT(op) add<at::_ops::op##_out>(lib);
#include "src/frontend/bridge/structured_ops.def"
#undef MOAI_STRUCTURED
#undef MOAI_STRUCTURED_OVERLOAD
#undef MOAI_STRUCTURED_OUT
  add<at::_ops::relu>(lib);
  add<at::_ops::relu_>(lib);
  add<at::_ops::sum>(lib);
  add<at::_ops::mean>(lib);
  add<at::_ops::abs>(lib);
  add<at::_ops::where_self>(lib);
  add<at::_ops::masked_fill_Scalar>(lib);
  add<at::_ops::masked_fill__Scalar>(lib);
  add<at::_ops::rsub_Scalar>(lib);
  add<at::_ops::native_dropout_backward>(lib);
}

}  // namespace moai::bridge
