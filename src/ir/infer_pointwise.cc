// Operands of equal shape; the domain of the row in ops.def decides the dtypes.
#include "src/ir/infer_rules.h"

namespace moai::ir {
namespace {

bool accepts(Prim op, DType t) {
  if (is_complex(t)) return false;
  switch (info(op).domain) {
    case Domain::number: return t != DType::boolean;
    case Domain::real: return is_float(t);
    case Domain::integer:
      return is_integer(t) || (t == DType::boolean &&
                               (op == Prim::bit_and || op == Prim::bit_or || op == Prim::bit_xor));
    default: return true;
  }
}

}  // namespace

Types infer_pointwise(const Rule& r) {
  size_t first = r.op == Prim::select ? 1 : 0;
  if (first && (r.in[0].dtype != DType::boolean || r.in[0].shape != r.in[1].shape))
    return r.fail("condition must be bool of the operands' shape " + to_text(r.in[1].shape) +
                  ", is " + to_text(r.in[0]));
  for (size_t i = first + 1; i < r.in.size(); i++)
    MOAI_RETURN_IF_ERROR(r.check_same_type(first, i));
  if (!accepts(r.op, r.in[first].dtype))
    return r.fail(std::string("has no meaning for ") + name_of(r.in[first].dtype));
  Type result = r.in[first];
  if (info(r.op).domain == Domain::truth) result.dtype = DType::boolean;
  return std::vector<Type>{result};
}

}  // namespace moai::ir
