#include "src/engine/program_text.h"

#include <cstdio>

namespace moai::engine {

namespace {

std::string text_of(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); i++) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

const char* name_of_type(TileType type) {
  constexpr const char* kNames[] = {"f32", "f64", "i32", "i64", "bool"};
  return kNames[static_cast<size_t>(type)];
}

const char* name_of_op(TileOp op) {
  constexpr const char* kNames[] = {"load",    "store", "compute", "constant", "iota",
                                    "convert", "round", "rng",     "rng_bits", "reduce"};
  return kNames[static_cast<size_t>(op)];
}

const char* name_of_reduce(ReduceKind kind) {
  constexpr const char* kNames[] = {"sum", "prod", "max", "min", "any", "all", "logsumexp"};
  return kNames[static_cast<size_t>(kind)];
}

std::string print_inst(const TileInst& inst) {
  std::string text = "    ";
  if (inst.dst >= 0) text += "r" + std::to_string(inst.dst) + " = ";
  text += name_of_op(inst.op);
  if (inst.op == TileOp::compute) text += " " + std::string(info(inst.prim).name);
  if (inst.op == TileOp::reduce) text += std::string(" ") + name_of_reduce(inst.kind);
  if (inst.op == TileOp::round) text += std::string(" ") + name_of(inst.dtype);
  text += std::string(" ") + name_of_type(inst.type);
  for (int16_t operand : {inst.a, inst.b, inst.c})
    if (operand >= 0) text += " r" + std::to_string(operand);
  char number[64];
  std::snprintf(number, sizeof number, " (%lld, %g)", static_cast<long long>(inst.imm_i),
                inst.imm_f);
  return text + number + "\n";
}

std::string print_tile(const TileProgram& tile) {
  constexpr const char* kKinds[] = {"pointwise", "row", "column"};
  std::string text = std::string("  tile ") + kKinds[static_cast<size_t>(tile.kind)] + " space " +
                     text_of(tile.space) + " registers " + std::to_string(tile.registers) + "\n";
  for (size_t i = 0; i < tile.buffers.size(); i++) {
    const TileBuffer& buffer = tile.buffers[i];
    text += std::string("    ") + (buffer.is_output ? "out " : "in  ") + std::to_string(i) + " " +
            name_of(buffer.dtype) + " offset " + std::to_string(buffer.offset) + " strides " +
            text_of(buffer.strides) + "\n";
  }
  for (const TileInst& inst : tile.code) text += print_inst(inst);
  return text;
}

std::string print_library(const LibraryKernel& kernel) {
  std::string text = "  library " + std::string(info(kernel.op).name) +
                     (kernel.base_is_zero ? " into zeros\n" : "\n");
  for (const Operand& operand : kernel.operands)
    text += std::string("    ") + (operand.is_output ? "out " : "in  ") + name_of(operand.dtype) +
            " " + text_of(operand.sizes) + " strides " + text_of(operand.strides) + " offset " +
            std::to_string(operand.offset) + "\n";
  return text;
}

}  // namespace

std::string print_kernels(const Program& program) {
  std::string text;
  for (size_t i = 0; i < program.kernels.size(); i++) {
    text += "kernel " + std::to_string(i) + "\n";
    if (const auto* tile = std::get_if<TileProgram>(&program.kernels[i]))
      text += print_tile(*tile);
    else
      text += print_library(std::get<LibraryKernel>(program.kernels[i]));
  }
  return text;
}

}  // namespace moai::engine
