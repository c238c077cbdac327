// Storage versions of the segment being lowered.
#include "src/lower/replay.h"

#include <string>

namespace moai::lower {

using ir::ValueId;

Replay::Replay(const wire::Segment& segment, ir::Builder& builder)
    : segment_(segment),
      b_(builder),
      storages_(segment.slots.size()),
      scalars_(segment.scalar_count, ValueId::none) {}

bool Replay::check(const wire::View& view) {
  if (!is_complex(view.dtype)) return true;
  b_.fail(unimplemented(std::string("tensors of ") + name_of(view.dtype) +
                        " are not supported; run this operator on the CPU: x.cpu()"));
  return false;
}

Contents* Replay::touch(uint32_t slot, DType dtype) {
  Storage& s = storages_[slot];
  const wire::Slot& of = segment_.slots[slot];
  const auto count = static_cast<int64_t>(of.bytes / size_of(dtype));
  if (!s.is_known) {
    ValueId flat = of.is_fresh
                       ? b_.constant(0, dtype, {count})
                       : b_.graph().add_input(ir::Input::Kind::storage, slot, {dtype, {count}});
    s.contents = {flat, dtype, {count}, {1}};
    s.is_known = true;
  }
  if (s.contents.dtype == dtype) return &s.contents;
  const int64_t have = s.contents.sizes.numel();
  if (have * static_cast<int64_t>(size_of(s.contents.dtype)) !=
      count * static_cast<int64_t>(size_of(dtype))) {
    b_.fail(unimplemented("a storage of " + std::to_string(of.bytes) + " bytes is viewed as " +
                          name_of(s.contents.dtype) + " and as " + name_of(dtype) +
                          ", which do not fill it alike; copy the view first: x.clone()"));
    return nullptr;
  }
  ValueId flat = b_.reshape(memory_order(b_, s.contents), {have});
  s.contents = {b_.bitcast(flat, dtype), dtype, {count}, {1}};
  s.reads.clear();
  return &s.contents;
}

ValueId Replay::read(const wire::TensorArg& tensor) {
  const wire::View& view = segment_.views[tensor.view];
  if (!b_.status().ok() || !check(view)) return ValueId::none;
  Storage& s = storages_[tensor.slot];
  for (const auto& [id, value] : s.reads)
    if (id == tensor.view) return value;
  Contents* contents = touch(tensor.slot, view.dtype);
  if (!contents) return ValueId::none;
  ValueId value = read_view(b_, *contents, view);
  if (view.is_neg) value = b_.unary(Prim::neg, value);
  s.reads.emplace_back(tensor.view, value);
  return value;
}

void Replay::write(const wire::TensorArg& tensor, ValueId value) {
  const wire::View& view = segment_.views[tensor.view];
  if (!b_.status().ok() || !check(view)) return;
  if (overlaps(view))
    return b_.fail(invalid("the output shows an element of its storage twice; clone it first"));
  Storage& s = storages_[tensor.slot];
  if (view.is_neg) value = b_.unary(Prim::neg, value);
  const auto count = static_cast<int64_t>(segment_.slots[tensor.slot].bytes / size_of(view.dtype));
  if (view.sizes.numel() > 0 && covers(view, count)) {
    s.contents = {value, view.dtype, view.sizes, view.strides};
  } else {
    Contents* contents = touch(tensor.slot, view.dtype);
    if (!contents) return;
    s.contents = write_view(b_, *contents, view, value);
  }
  s.is_known = s.is_written = true;
  s.reads.clear();
}

ValueId Replay::scalar_input(uint32_t index, bool is_real) {
  if (index >= scalars_.size()) {
    b_.fail(invalid("lifted value " + std::to_string(index) + " of " +
                    std::to_string(scalars_.size()) + " does not exist"));
    return ValueId::none;
  }
  ValueId& v = scalars_[index];
  if (v == ValueId::none)
    v = b_.graph().add_input(is_real ? ir::Input::Kind::scalar_real : ir::Input::Kind::scalar_int,
                             index, {is_real ? DType::f64 : DType::i64, {}});
  return v;
}

void Replay::set_outputs(std::span<const uint32_t> live_out) {
  for (uint32_t slot : live_out) {
    if (slot >= storages_.size())
      return b_.fail(invalid("live slot " + std::to_string(slot) + " of " +
                             std::to_string(storages_.size()) + " does not exist"));
    Storage& s = storages_[slot];
    if (!s.is_written && !segment_.slots[slot].is_fresh) continue;
    if (!s.is_known && !touch(slot, DType::u8)) return;
    ValueId value = memory_order(b_, s.contents);
    if (b_.status().ok()) b_.graph().set_output(slot, value);
  }
}

}  // namespace moai::lower
