#include "src/ir/eval.h"

#include "src/ir/eval_call.h"
#include "src/ir/infer_rules.h"
#include "src/ir/scalar.h"
#include "src/ir/verify.h"

namespace moai::ir {
namespace {

template <class T>
T load(const Tensor& t, int64_t i) {
  T v;
  std::memcpy(&v, t.data.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return v;
}
template <class T>
void store(Tensor& t, int64_t i, T v) {
  std::memcpy(t.data.data() + static_cast<size_t>(i) * sizeof(T), &v, sizeof(T));
}

Status run(const Call& call) {
  Prim op = call.node.op;
  if (is_pointwise(op)) return eval_pointwise(call);
  switch (op) {
    case Prim::reduce:
    case Prim::arg_reduce:
    case Prim::reduce_window:
    case Prim::max_pool_idx:
    case Prim::scan:
    case Prim::scan_arg: return eval_reduce(call);
    case Prim::dot_general:
    case Prim::conv:
    case Prim::conv_wgrad: return eval_contract(call);
    case Prim::gather:
    case Prim::scatter:
    case Prim::take_along:
    case Prim::scatter_along:
    case Prim::sort:
    case Prim::topk:
    case Prim::nonzero: return eval_index(call);
    case Prim::rng_uniform:
    case Prim::rng_bits: return eval_random(call);
    case Prim::sdpa:
    case Prim::sdpa_bwd: return eval_attention(call);
    default: return eval_data(call);
  }
}

Status check_inputs(const Graph& g, std::span<const Tensor> inputs) {
  if (inputs.size() != g.inputs().size())
    return invalid("[eval] the graph has " + std::to_string(g.inputs().size()) + " inputs, got " +
                   std::to_string(inputs.size()));
  for (size_t i = 0; i < inputs.size(); i++) {
    const Type& want = g.type(g.inputs()[i].value);
    if (inputs[i].type != want || inputs[i].data.size() != want.bytes())
      return invalid("[eval] input " + std::to_string(i) + " must be " + to_text(want) + ", is " +
                     to_text(inputs[i].type) + " with " + std::to_string(inputs[i].data.size()) +
                     " bytes");
  }
  return ok_status();
}

}  // namespace

double get_real(const Tensor& t, int64_t i) {
  switch (t.type.dtype) {
    case DType::f64: return load<double>(t, i);
    case DType::f32: return load<float>(t, i);
    case DType::f16: return f16_to_float(load<uint16_t>(t, i));
    case DType::bf16: return bf16_to_float(load<uint16_t>(t, i));
    default: return static_cast<double>(get_int(t, i));
  }
}

int64_t get_int(const Tensor& t, int64_t i) {
  switch (t.type.dtype) {
    case DType::i64: return load<int64_t>(t, i);
    case DType::i32: return load<int32_t>(t, i);
    case DType::i16: return load<int16_t>(t, i);
    case DType::i8: return load<int8_t>(t, i);
    case DType::u8: return load<uint8_t>(t, i);
    case DType::boolean: return load<uint8_t>(t, i) != 0;
    case DType::f64:
    case DType::f32:
    case DType::f16:
    case DType::bf16: return real_to_int(get_real(t, i));
    default: return 0;  // infer() lets complex numbers only be moved
  }
}

void set_real(Tensor& t, int64_t i, double v) {
  switch (t.type.dtype) {
    case DType::f64: return store(t, i, v);
    case DType::f32: return store(t, i, static_cast<float>(v));
    case DType::f16: return store(t, i, float_to_f16(static_cast<float>(v)));
    case DType::bf16: return store(t, i, float_to_bf16(static_cast<float>(v)));
    case DType::boolean: return store(t, i, static_cast<uint8_t>(v != 0));
    default: return set_int(t, i, real_to_int(v));
  }
}

void set_int(Tensor& t, int64_t i, int64_t v) {
  switch (t.type.dtype) {
    case DType::i64: return store(t, i, v);
    case DType::i32: return store(t, i, static_cast<int32_t>(v));
    case DType::i16: return store(t, i, static_cast<int16_t>(v));
    case DType::i8: return store(t, i, static_cast<int8_t>(v));
    case DType::u8: return store(t, i, static_cast<uint8_t>(v));
    case DType::boolean: return store(t, i, static_cast<uint8_t>(v != 0));
    case DType::f32: return store(t, i, static_cast<float>(v));  // one rounding
    case DType::f64:
    case DType::f16:
    case DType::bf16: return set_real(t, i, static_cast<double>(v));
    default: return;
  }
}

StatusOr<std::vector<Tensor>> eval(const Graph& g, std::span<const Tensor> inputs) {
  MOAI_RETURN_IF_ERROR(verify(g));
  MOAI_RETURN_IF_ERROR(check_inputs(g, inputs));
  std::vector<Tensor> values(g.value_count());
  for (size_t i = 0; i < inputs.size(); i++) values[index_of(g.inputs()[i].value)] = inputs[i];
  for (const Node& node : g.nodes()) {
    Call call{node, {}, {}};
    for (ValueId v : node.operands) call.in.push_back(&values[index_of(v)]);
    for (ValueId v : node.results) {
      Tensor& t = values[index_of(v)];
      t.type = g.type(v);
      t.data.resize(t.type.bytes());
      call.out.push_back(&t);
    }
    MOAI_RETURN_IF_ERROR(run(call));
  }
  std::vector<Tensor> results;
  for (const Output& o : g.outputs()) results.push_back(values[index_of(o.value)]);
  return results;
}

}  // namespace moai::ir
