// Runs one kernel on a device and one node in the reference evaluator, on the same tensors.
#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>

#include "src/device/cpu/device.h"
#include "src/ir/build.h"
#include "src/ir/eval.h"

namespace moai::test {

using ir::Tensor;
using ir::Type;

inline Tensor make_tensor(DType dtype, const Shape& shape) {
  Tensor t;
  t.type = {dtype, shape};
  t.data.resize(t.type.bytes());
  return t;
}

class Source {
 public:
  explicit Source(uint32_t seed) : engine_(seed) {}
  int64_t integer(int64_t lo, int64_t hi) {
    return std::uniform_int_distribution<int64_t>(lo, hi)(engine_);
  }
  double real(double lo, double hi) {
    return std::uniform_real_distribution<double>(lo, hi)(engine_);
  }

  // Reals in [lo, hi); integers between the same bounds.
  Tensor tensor(DType dtype, const Shape& shape, double lo = -3, double hi = 3) {
    Tensor t = make_tensor(dtype, shape);
    for (int64_t i = 0; i < shape.numel(); i++) {
      if (is_float(dtype))
        set_real(t, i, real(lo, hi));
      else if (dtype == DType::boolean)
        set_int(t, i, integer(0, 1));
      else
        set_int(t, i, integer(static_cast<int64_t>(lo), static_cast<int64_t>(hi)));
    }
    return t;
  }
  // Multiples of 1/4: sums of their products are exact.
  Tensor quarters(DType dtype, const Shape& shape, int64_t most = 8) {
    Tensor t = make_tensor(dtype, shape);
    for (int64_t i = 0; i < shape.numel(); i++) {
      const int64_t n = integer(-most, most);
      is_float(dtype) ? set_real(t, i, static_cast<double>(n) / 4) : set_int(t, i, n);
    }
    return t;
  }
  Tensor indices(DType dtype, const Shape& shape, int64_t size) {
    Tensor t = make_tensor(dtype, shape);
    for (int64_t i = 0; i < shape.numel(); i++) set_int(t, i, integer(0, size - 1));
    return t;
  }

 private:
  std::mt19937 engine_;
};

// Blocks with a margin of poison on both sides: a write outside shows.
class Block {
 public:
  explicit Block(size_t bytes) : bytes_(bytes), data_(bytes + 2 * kMargin, std::byte{0xA5}) {}
  explicit Block(const Tensor& t) : Block(t.data.size()) {
    if (!t.data.empty()) std::memcpy(data(), t.data.data(), t.data.size());
  }
  void* data() { return data_.data() + kMargin; }
  bool is_intact() const {
    for (size_t i = 0; i < kMargin; i++)
      if (data_[i] != std::byte{0xA5} || data_[kMargin + bytes_ + i] != std::byte{0xA5})
        return false;
    return true;
  }

 private:
  static constexpr size_t kMargin = 256;
  size_t bytes_;
  std::vector<std::byte> data_;
};

// Runs one kernel. tensors: one for each buffer; outputs are overwritten. aliases[i]: the buffer
// whose memory buffer i shares, or -1.
inline Status run_kernel(Device& device, const KernelSource& kernel, std::vector<Tensor>& tensors,
                         const std::vector<int>& aliases = {}) {
  Program program;
  program.kernels.push_back(kernel);
  Command command;
  std::vector<Block> blocks;
  std::vector<void*> bindings;
  for (size_t i = 0; i < tensors.size(); i++) blocks.emplace_back(tensors[i]);
  for (size_t i = 0; i < tensors.size(); i++) {
    const size_t at = i < aliases.size() && aliases[i] >= 0 ? static_cast<size_t>(aliases[i]) : i;
    bindings.push_back(blocks[i].data());
    program.buffers.push_back(
        {BufferKind::bound, 0, static_cast<uint32_t>(at), tensors[i].data.size()});
    command.buffers.push_back(static_cast<uint32_t>(i));
  }
  program.bindings = static_cast<uint32_t>(bindings.size());
  program.commands.push_back(command);
  auto executable = device.load(program);
  if (!executable.ok()) return executable.status();
  Status status = device.run(**executable, bindings, nullptr);
  for (size_t i = 0; i < tensors.size(); i++) {
    CHECK(blocks[i].is_intact());
    const size_t at = i < aliases.size() && aliases[i] >= 0 ? static_cast<size_t>(aliases[i]) : i;
    if (!tensors[i].data.empty())
      std::memcpy(tensors[i].data.data(), blocks[at].data(), tensors[i].data.size());
  }
  return status;
}

// Element i of `got` against `want`, within `bound` of max(1, |want|). Integers exactly.
inline void check_close(const Tensor& got, const Tensor& want, double bound) {
  REQUIRE(got.type == want.type);
  for (int64_t i = 0; i < want.type.shape.numel(); i++) {
    if (!is_float(want.type.dtype)) {
      if (get_int(got, i) == get_int(want, i)) continue;
      FAIL("element " << i << ": " << get_int(got, i) << ", want " << get_int(want, i));
    }
    const double a = get_real(got, i), b = get_real(want, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (!(std::fabs(a - b) <= bound * std::max(1.0, std::fabs(b))))
      FAIL("element " << i << ": " << a << ", want " << b);
  }
}
inline void check_equal(const Tensor& got, const Tensor& want) {
  REQUIRE(got.type == want.type);
  REQUIRE(got.data == want.data);
}

// What a dtype's last place is worth near 1.
inline double rounding_of(DType t) {
  return t == DType::f64    ? 1e-13
         : t == DType::f32  ? 1e-6
         : t == DType::f16  ? 2e-3
         : t == DType::bf16 ? 1.6e-2
                            : 0;
}

// One-node graph: the reference for a library kernel.
inline StatusOr<std::vector<Tensor>> reference(Prim op, const Attrs& attrs,
                                               const std::vector<Tensor>& inputs, Type hint = {}) {
  ir::Graph g;
  std::vector<ir::ValueId> operands;
  std::vector<Tensor> flat = inputs;  // inputs of a graph are storages: rank 1
  for (size_t i = 0; i < inputs.size(); i++) {
    flat[i].type.shape = Shape{inputs[i].type.shape.numel()};
    operands.push_back(
        g.add_input(ir::Input::Kind::storage, static_cast<uint32_t>(i), flat[i].type));
  }
  for (size_t i = 0; i < inputs.size(); i++) {
    MOAI_ASSIGN_OR_RETURN(operands[i],
                          g.add_node(Prim::reshape, NoAttrs(), {operands[i]}, inputs[i].type));
  }
  MOAI_ASSIGN_OR_RETURN(ir::ValueId v, g.add_node(op, attrs, operands, hint));
  (void)v;
  const ir::ValueList results = g.nodes().back().results;
  for (size_t i = 0; i < results.size(); i++) g.set_output(static_cast<uint32_t>(i), results[i]);
  return ir::eval(g, flat);
}

inline Operand operand_of(const Tensor& t, bool is_output) {
  return {t.type.dtype, t.type.shape, contiguous_strides(t.type.shape), 0, is_output};
}

}  // namespace moai::test
