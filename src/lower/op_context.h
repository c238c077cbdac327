// What the lowering of one op sees: its arguments, reads and writes of storages as SSA values, a
// builder.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "src/ir/build.h"
#include "src/wire/reader.h"

namespace moai::lower {

class Replay;  // storage versions of the segment being lowered (replay.h)

class OpContext {
 public:
  // Advances *scalar_index over the lifted values of the op.
  OpContext(Replay& replay, const wire::Segment& segment, size_t op, uint32_t* scalar_index);

  wire::ArgReader args;
  ir::Builder& b;
  std::string_view name() const;  // "add.Tensor"

  // The elements that a tensor argument shows now: shape = view sizes, dtype = view dtype.
  ir::ValueId read(const wire::TensorArg&);
  const wire::View& view(const wire::TensorArg&) const;
  // args.tensor() and read(); fails when the argument is None.
  ir::ValueId read_next();
  std::optional<ir::ValueId> read_next_optional();
  std::vector<ir::ValueId> read_list();  // a list without None

  // A number as 0-dim value of dtype (lifted: a graph input, converted; real to integer truncates).
  ir::ValueId scalar(const wire::ScalarArg&, DType dtype);
  // The same, broadcast to a shape.
  ir::ValueId scalar(const wire::ScalarArg&, DType dtype, const Shape& shape);

  // Seed and offset of the op as 0-dim i64, wherever its generator stands among the arguments.
  std::pair<ir::ValueId, ir::ValueId> rng();

  // The outputs of the op. Independent of `args`: may be asked at any time, and arguments that a
  // lowering has no use for (layout, device ...) may stay unread.
  const std::vector<std::optional<wire::TensorArg>>& outputs() const { return outputs_; }
  // Whether the op has arguments left to read; a defaulted tail may be missing.
  bool has_more() const { return args.peek() != wire::Tag::outputs && !args.at_end(); }
  // Type of output i as the client allocated it; f32 and rank 0, failed, where there is none.
  DType output_dtype(size_t i = 0);
  const Shape& output_shape(size_t i = 0);
  // Makes `value` the contents of what the output shows: converts to its dtype; refuses another
  // shape.
  void write(const wire::TensorArg& output, ir::ValueId value);
  // Whether the caller wants output i: masks leave some out.
  bool wants(size_t i) const { return i < outputs_.size() && outputs_[i].has_value(); }
  // write(), when the caller wants output i.
  void put(size_t i, ir::ValueId value);
  // The usual end of a lowering: one output per value, None outputs skipped.
  void finish(std::span<const ir::ValueId> values);
  void finish(ir::ValueId value) { finish(std::span(&value, 1)); }

  void fail(Status s) { b.fail(std::move(s)); }

 private:
  const wire::View* output_view(size_t i);

  Replay& replay_;
  const wire::Segment& segment_;
  size_t op_;
  uint32_t scalar_index_;              // of the next lifted value that `args` reads
  std::optional<uint32_t> rng_index_;  // lifted seed; the offset follows
  std::vector<std::optional<wire::TensorArg>> outputs_;
};

// PyTorch's conversion: to bool is x != 0; real to integer truncates.
ir::ValueId cast(ir::Builder& b, ir::ValueId value, DType dtype);

using LowerFn = void (*)(OpContext&);

// A row of the op map. dtypes: mask of the first tensor operand's dtypes that the lowering takes.
struct OpRow {
  std::string_view name;
  uint32_t dtypes;
  LowerFn lower;
};

inline constexpr uint32_t kFloats =
    mask_of(DType::f64) | mask_of(DType::f32) | mask_of(DType::f16) | mask_of(DType::bf16);
inline constexpr uint32_t kIntegers = mask_of(DType::i64) | mask_of(DType::i32) |
                                      mask_of(DType::i16) | mask_of(DType::i8) | mask_of(DType::u8);
inline constexpr uint32_t kBool = mask_of(DType::boolean);
inline constexpr uint32_t kNumbers = kFloats | kIntegers;
inline constexpr uint32_t kAll = kNumbers | kBool;

// The families, a file each (decompose_<family>.cc); families.cc joins them.
std::span<const OpRow> pointwise_ops();   // aten_map.def and decompose_pointwise.cc
std::span<const OpRow> activation_ops();  // those with parameters, and their gradients
std::span<const OpRow> create_ops();      // factories, copies, casts, fill
std::span<const OpRow> reduce_ops();
std::span<const OpRow> scan_ops();         // cumsum, cummax ...
std::span<const OpRow> layout_ops();       // cat stack flip roll repeat, gradients of views
std::span<const OpRow> index_ops();        // gather scatter index_select ...
std::span<const OpRow> fancy_index_ops();  // index, index_put
std::span<const OpRow> sort_ops();         // sort topk searchsorted ...
std::span<const OpRow> random_ops();
std::span<const OpRow> foreach_ops();    // _foreach_*
std::span<const OpRow> optimizer_ops();  // _fused_*, _amp_*
std::span<const OpRow> matrix_ops();     // mm addmm bmm baddbmm dot mv ...
std::span<const OpRow> conv_ops();       // convolution and its gradients
std::span<const OpRow> pool_ops();       // max, average and adaptive pooling
std::span<const OpRow> resize_ops();     // upsampling
std::span<const OpRow> pad_ops();        // constant, mirrored and repeated borders
std::span<const OpRow> embedding_ops();  // lookup in a table and its gradient
std::span<const OpRow> norm_ops();       // softmax, batch, layer and group norm
std::span<const OpRow> loss_ops();       // nll, bce, mse, smooth_l1, kl ...
std::span<const OpRow> attention_ops();  // sdpa and its backward
std::span<const OpRow> recurrent_ops();  // fused LSTM and GRU cells

// All rows, in the order of the families.
std::vector<OpRow> all_ops();

}  // namespace moai::lower
