#include "tests/support/reference_device.h"

#include <cstring>
#include <string>

#include "src/ir/eval.h"

namespace moai::test {
namespace {

using ir::Tensor;
using ir::Type;
using ir::ValueId;

DType dtype_of(TileType t) {
  switch (t) {
    case TileType::f32: return DType::f32;
    case TileType::f64: return DType::f64;
    case TileType::i32: return DType::i32;
    case TileType::i64: return DType::i64;
    case TileType::boolean: return DType::boolean;
  }
  return DType::f32;
}

Tensor make_tensor(DType dtype, const Shape& shape) {
  Tensor t{{dtype, shape}, {}};
  t.data.resize(t.type.bytes());
  return t;
}

// One node, evaluated.
StatusOr<Tensor> run_node(Prim op, Attrs attrs, std::vector<Tensor> operands, Type hint,
                          size_t result = 0, std::vector<Tensor>* all = nullptr) {
  ir::Graph g;
  std::vector<ValueId> ids;
  std::vector<Type> types;
  // Graph inputs are flat.
  for (Tensor& t : operands) {
    types.push_back(t.type);
    t.type.shape = Shape{t.type.shape.numel()};
    ids.push_back(g.add_input(ir::Input::Kind::storage, static_cast<uint32_t>(ids.size()), t.type));
  }
  for (size_t i = 0; i < ids.size(); i++)
    ids[i] = g.append(Prim::reshape, NoAttrs{}, {ids[i]}, {types[i]});
  MOAI_ASSIGN_OR_RETURN(ValueId first, g.add_node(op, std::move(attrs), ids, hint));
  (void)first;
  uint32_t slot = 0;
  for (ValueId v : g.nodes().back().results) g.set_output(slot++, v);
  MOAI_ASSIGN_OR_RETURN(std::vector<Tensor> out, ir::eval(g, operands));
  Tensor wanted = out[result];
  if (all) *all = std::move(out);
  return wanted;
}

StatusOr<Tensor> convert(const Tensor& t, DType to) {
  if (t.type.dtype == to) return t;
  return run_node(Prim::convert, NoAttrs{}, {t}, {to, t.type.shape});
}

template <class F>
void each_index(const Shape& space, F&& f) {
  Shape index = Shape::filled(space.rank(), 0);
  for (int64_t left = space.numel(); left > 0; left--) {
    f(static_cast<const Shape&>(index));
    for (int d = space.rank() - 1; d >= 0; d--) {
      if (++index[d] < space[d]) break;
      index[d] = 0;
    }
  }
}

int64_t at(const Shape& index, int64_t offset, const Shape& strides) {
  for (int d = 0; d < index.rank(); d++) offset += index[d] * strides[d];
  return offset;
}

class Loaded : public Executable {
 public:
  explicit Loaded(Program p) : program(std::move(p)) {}
  Program program;
};

class Runner {
 public:
  Runner(const Program& p, std::span<void* const> bindings, void* arena)
      : p_(p), bindings_(bindings), arena_(static_cast<std::byte*>(arena)) {}

  Status run(const Command& c) {
    const KernelSource& source = p_.kernels[c.kernel];
    if (const auto* tile = std::get_if<TileProgram>(&source)) return run_tile(*tile, c);
    return run_library(std::get<LibraryKernel>(source), c);
  }

 private:
  std::byte* address(uint32_t buffer) const {
    const Buffer& b = p_.buffers[buffer];
    std::byte* base =
        b.kind == BufferKind::arena ? arena_ : static_cast<std::byte*>(bindings_[b.index]);
    return base + b.offset;
  }

  // Reads or writes the elements that a map reaches; an error when one is outside the buffer.
  Status move(uint32_t buffer, DType dtype, const Shape& space, int64_t offset,
              const Shape& strides, Tensor& t, bool is_store) const {
    std::byte* base = address(buffer);
    int64_t size = static_cast<int64_t>(size_of(dtype)), i = 0;
    int64_t count = static_cast<int64_t>(p_.buffers[buffer].bytes) / size;
    bool is_inside = true;
    each_index(space, [&](const Shape& index) {
      int64_t element = at(index, offset, strides);
      std::byte* here = t.data.data() + size * i++;
      is_inside &= element >= 0 && element < count;
      if (!is_inside) return;
      if (is_store)
        std::memcpy(base + element * size, here, static_cast<size_t>(size));
      else
        std::memcpy(here, base + element * size, static_cast<size_t>(size));
    });
    return is_inside ? ok_status()
                     : internal_error("[reference] a kernel reaches outside its buffer");
  }

  Status check_overlap(const TileProgram& p, const Command& c) const {
    for (size_t o = 0; o < p.buffers.size(); o++)
      for (size_t i = 0; i < p.buffers.size(); i++) {
        if (o == i || !p.buffers[o].is_output) continue;
        const std::byte *a = address(c.buffers[o]), *b = address(c.buffers[i]);
        bool apart =
            a + p_.buffers[c.buffers[o]].bytes <= b || b + p_.buffers[c.buffers[i]].bytes <= a;
        if (apart) continue;
        if (p.buffers[i].is_output && c.buffers[o] == c.buffers[i]) continue;  // parts of one value
        bool is_equal = a == b && p.buffers[o].offset == p.buffers[i].offset &&
                        p.buffers[o].strides == p.buffers[i].strides && !p.buffers[i].is_output;
        if (!is_equal) return internal_error("[reference] a kernel overwrites what it reads");
      }
    return ok_status();
  }

  Status run_tile(const TileProgram& p, const Command& c) {
    if (c.buffers.size() != p.buffers.size())
      return internal_error("[reference] wrong number of buffers");
    MOAI_RETURN_IF_ERROR(check_overlap(p, c));
    registers_.assign(static_cast<size_t>(p.registers), Tensor{});
    for (const TileInst& i : p.code) MOAI_RETURN_IF_ERROR(step(p, i, c));
    return ok_status();
  }

  Tensor& reg(int16_t r) { return registers_.at(static_cast<size_t>(r)); }

  Status step(const TileProgram& p, const TileInst& i, const Command& c) {
    switch (i.op) {
      case TileOp::load: {
        const TileBuffer& b = p.buffers[static_cast<size_t>(i.imm_i)];
        Tensor t = make_tensor(b.dtype, p.space);
        MOAI_RETURN_IF_ERROR(move(c.buffers[static_cast<size_t>(i.imm_i)], b.dtype, p.space,
                                  b.offset, b.strides, t, false));
        return set(i.dst, convert(t, dtype_of(i.type)));
      }
      case TileOp::store: {
        const TileBuffer& b = p.buffers[static_cast<size_t>(i.imm_i)];
        MOAI_ASSIGN_OR_RETURN(Tensor t, convert(reg(i.a), b.dtype));
        return move(c.buffers[static_cast<size_t>(i.imm_i)], b.dtype, p.space, b.offset, b.strides,
                    t, true);
      }
      case TileOp::constant: {
        Tensor t = make_tensor(dtype_of(i.type), p.space);
        for (int64_t e = 0; e < p.space.numel(); e++)
          is_float(t.type.dtype) ? ir::set_real(t, e, i.imm_f) : ir::set_int(t, e, i.imm_i);
        return set(i.dst, t);
      }
      case TileOp::iota:
        return set(i.dst,
                   run_node(Prim::iota, AxisAttrs{i.imm_i}, {}, {dtype_of(i.type), p.space}));
      case TileOp::convert: return set(i.dst, convert(reg(i.a), dtype_of(i.type)));
      case TileOp::round: {
        MOAI_ASSIGN_OR_RETURN(Tensor narrow, convert(reg(i.a), i.dtype));
        return set(i.dst, convert(narrow, reg(i.a).type.dtype));
      }
      case TileOp::compute: {
        std::vector<Tensor> operands;
        for (int16_t r : {i.a, i.b, i.c})
          if (r >= 0) operands.push_back(reg(r));
        return set(i.dst, run_node(i.prim, NoAttrs{}, std::move(operands), {}));
      }
      case TileOp::reduce: return reduce(p, i);
      case TileOp::rng:
      case TileOp::rng_bits: return random(p, i);
    }
    return internal_error("[reference] unknown instruction");
  }

  Status set(int16_t dst, StatusOr<Tensor> t) {
    MOAI_RETURN_IF_ERROR(t.status());
    reg(dst) = std::move(*t);
    return ok_status();
  }

  Status reduce(const TileProgram& p, const TileInst& i) {
    int axis = p.kind == TileKind::row ? p.space.rank() - 1 : 1;
    MOAI_ASSIGN_OR_RETURN(Tensor t,
                          run_node(Prim::reduce, ReduceAttrs{i.kind, Shape{axis}}, {reg(i.a)}, {}));
    Shape dims;
    for (int d = 0; d < p.space.rank(); d++)
      if (d != axis) dims.push_back(d);
    return set(i.dst,
               run_node(Prim::broadcast_in_dim, DimsAttrs{dims}, {t}, {t.type.dtype, p.space}));
  }

  Status random(const TileProgram& p, const TileInst& i) {
    const TileBuffer& m = p.rng_maps[static_cast<size_t>(i.imm_i)];
    int64_t last = 0;
    each_index(p.space,
               [&](const Shape& index) { last = std::max(last, at(index, m.offset, m.strides)); });
    std::vector<Tensor> operands;
    for (int16_t r : {i.a, i.b}) {
      Tensor scalar = make_tensor(DType::i64, {});
      ir::set_int(scalar, 0, ir::get_int(reg(r), 0));
      operands.push_back(std::move(scalar));
    }
    bool is_bits = i.op == TileOp::rng_bits;
    MOAI_ASSIGN_OR_RETURN(
        Tensor all, run_node(is_bits ? Prim::rng_bits : Prim::rng_uniform, NoAttrs{}, operands,
                             {is_bits ? DType::i64 : i.dtype, Shape{last + 1}}));
    Tensor t = make_tensor(dtype_of(i.type), p.space);
    int64_t e = 0;
    each_index(p.space, [&](const Shape& index) {
      int64_t from = at(index, m.offset, m.strides);
      if (is_bits)
        ir::set_int(t, e++, ir::get_int(all, from));
      else
        ir::set_real(t, e++, ir::get_real(all, from));
    });
    return set(i.dst, t);
  }

  Status run_library(const LibraryKernel& k, const Command& c) {
    if (c.buffers.size() != k.operands.size())
      return internal_error("[reference] wrong number of operands");
    std::vector<Tensor> inputs;
    std::vector<size_t> outputs;
    bool is_update = k.op == Prim::scatter || k.op == Prim::scatter_along;
    for (size_t i = 0; i < k.operands.size(); i++) {
      const Operand& o = k.operands[i];
      Tensor t = make_tensor(o.dtype, o.sizes);
      if (o.is_output) outputs.push_back(i);
      if (o.is_output && !is_update) continue;
      if (!o.is_output || !k.base_is_zero)
        MOAI_RETURN_IF_ERROR(move(c.buffers[i], o.dtype, o.sizes, o.offset, o.strides, t, false));
      if (o.is_output)
        inputs.insert(inputs.begin(), std::move(t));
      else
        inputs.push_back(std::move(t));
    }
    const Operand& first = k.operands[outputs[0]];
    std::vector<Tensor> results;
    MOAI_RETURN_IF_ERROR(
        run_node(k.op, k.attrs, std::move(inputs), {first.dtype, first.sizes}, 0, &results)
            .status());
    for (size_t r = 0; r < outputs.size(); r++) {
      const Operand& o = k.operands[outputs[r]];
      if (results[r].type != Type{o.dtype, o.sizes})
        return internal_error("[reference] a result has another type");
      MOAI_RETURN_IF_ERROR(
          move(c.buffers[outputs[r]], o.dtype, o.sizes, o.offset, o.strides, results[r], true));
    }
    return ok_status();
  }

  const Program& p_;
  std::span<void* const> bindings_;
  std::byte* arena_;
  std::vector<Tensor> registers_;
};

class ReferenceDevice : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  void* allocate(uint64_t bytes) override { return ::operator new(bytes, std::align_val_t{256}); }
  void free(void* block, uint64_t) override { ::operator delete(block, std::align_val_t{256}); }
  StatusOr<std::unique_ptr<Executable>> load(const Program& program) override {
    return std::unique_ptr<Executable>(std::make_unique<Loaded>(program));
  }
  Status run(Executable& executable, std::span<void* const> bindings, void* arena) override {
    const Program& p = static_cast<Loaded&>(executable).program;
    Runner runner(p, bindings, arena);
    for (const Command& c : p.commands) MOAI_RETURN_IF_ERROR(runner.run(c));
    return ok_status();
  }
  void copy_in(void* block, const void* host, uint64_t bytes) override {
    std::memcpy(block, host, bytes);
  }
  void copy_out(void* host, const void* block, uint64_t bytes) override {
    std::memcpy(host, block, bytes);
  }

 private:
  DeviceInfo info_{"reference", "reference evaluator", uint64_t{1} << 30};
};

}  // namespace

std::unique_ptr<Device> make_reference_device() { return std::make_unique<ReferenceDevice>(); }

}  // namespace moai::test
