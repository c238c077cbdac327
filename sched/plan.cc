#include "sched/plan.h"

#include <sstream>

namespace moai::sched {
namespace {

std::string shape_text(const Shape& s) {
  std::string out = "[";
  for (int i = 0; i < s.rank(); i++) out += (i ? "," : "") + std::to_string(s[i]);
  return out + "]";
}

std::string buffer_text(const Buffer& b) {
  std::string at = b.offset ? "+" + std::to_string(b.offset) : "";
  return (b.kind == BufferKind::arena ? "arena" : "bound " + std::to_string(b.index)) + at + ":" +
         std::to_string(b.bytes);
}

// Whether operand `i` of the kernel is written.
bool is_written(const KernelSource& source, size_t i) {
  if (const auto* lib = std::get_if<LibraryKernel>(&source)) return lib->operands[i].is_output;
  return std::get<TileProgram>(source).buffers[i].is_output;
}

void print_list(std::ostream& out, const char* name, const std::vector<uint32_t>& list) {
  out << name;
  for (uint32_t v : list) out << ' ' << v;
  out << '\n';
}

}  // namespace

std::string print(const KernelSource& source) {
  if (const auto* lib = std::get_if<LibraryKernel>(&source)) {
    std::string out(info(lib->op).name);
    for (const Operand& o : lib->operands)
      out += std::string(o.is_output ? " -> " : " ") + name_of(o.dtype) + shape_text(o.sizes);
    return out;
  }
  const auto& tile = std::get<TileProgram>(source);
  constexpr const char* kKinds[] = {"pointwise", "row", "column"};
  return std::string(kKinds[static_cast<int>(tile.kind)]) + " " + shape_text(tile.space) + ", " +
         std::to_string(tile.code.size()) + " instructions, " + std::to_string(tile.registers) +
         " registers";
}

std::string print(const Plan& plan) {
  std::ostringstream out;
  print_list(out, "reads", plan.read_slots);
  print_list(out, "writes", plan.written_slots);
  out << "scalars " << plan.scalar_count << '\n';
  for (const RankProgram& r : plan.programs) {
    const Program& p = r.program;
    out << "program " << r.rank.index << " of " << r.rank.count << ": " << p.commands.size()
        << " commands, " << p.kernels.size() << " kernels, arena " << p.arena_bytes << " B, "
        << p.bindings << " bindings\n";
    for (const Command& c : p.commands) {
      const KernelSource& source = p.kernels[c.kernel];
      out << "  " << c.kernel << ": " << print(source) << " |";
      for (size_t i = 0; i < c.buffers.size(); i++)
        out << (is_written(source, i) ? " >" : " ") << buffer_text(p.buffers[c.buffers[i]]);
      out << '\n';
    }
  }
  return out.str();
}

}  // namespace moai::sched
