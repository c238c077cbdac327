// Builds one tile program: instructions over values and index maps, buffers, then registers.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "codegen/emit.h"
#include "codegen/index_map.h"
#include "codegen/node_info.h"

namespace moai::codegen {

class TileBuilder {
 public:
  // is_member: node -> made inside this program; other values are loaded.
  TileBuilder(const ir::Graph& graph, const Flags& is_copied, const std::vector<bool>& is_member,
              TileKind kind, const Shape& space);
  Region& region() { return region_; }

  // Emits v at the map into a register of its own, once. -1 on failure: see status().
  int value(ir::ValueId v, uint32_t map);
  // The same for a value that this program is there to store: a view or iota is made even if others
  // load it.
  int root(ir::ValueId v, uint32_t map);
  // Reads v where it lies, even if it is a member.
  int load(ir::ValueId v, uint32_t map);
  // Writes a register to elements of `out`.
  void store(int reg, ir::ValueId out, uint32_t map);
  // `out` is written in part: what is not written is that of `base`.
  void set_base(ir::ValueId out, ir::ValueId base);

  const Status& status() const { return status_; }
  // Values that were loaded, in order.
  std::vector<ir::ValueId> loaded() const;
  // Merges dimensions, allocates registers, finds aliases.
  StatusOr<Kernel> finish();

 private:
  struct BufferUse {
    ir::ValueId value;
    DType dtype;
    int64_t offset;
    uint32_t map;
    bool is_output;
    size_t at;  // instruction that loads or stores it
  };
  int fail(const std::string& what);
  int add(TileInst inst);
  int constant(DType dtype, const ConstantAttrs& attrs);
  int iota(const ir::Node& n, uint32_t map);
  int view(ir::ValueId v, uint32_t map);
  int compute(const ir::Node& n, uint32_t map);
  int convert(int reg, DType from, DType to);
  int random(const ir::Node& n, uint32_t map);
  int reduce(const ir::Node& n, uint32_t map);
  int rounded(int reg, DType dtype);
  std::vector<uint32_t> used_maps() const;
  void lower_iotas();
  std::vector<Kernel::Alias> aliases() const;

  const ir::Graph& g_;
  const Flags& is_copied_;
  const std::vector<bool>& is_member_;
  TileKind kind_;
  Region region_;
  Status status_;
  std::vector<TileInst> code_;
  std::vector<BufferUse> buffers_;
  std::vector<std::pair<ir::ValueId, ir::ValueId>> bases_;  // output, base
  std::vector<uint32_t> rng_maps_;
  std::unordered_map<uint64_t, int> values_;  // (value, map) -> register
  std::unordered_map<uint64_t, int> loads_;
  std::vector<std::pair<TileInst, int>> constants_;
  int next_ = 0;
};

// Renumbers SSA registers so that those whose last use is past are used again. Returns how many
// there are.
int allocate_registers(std::vector<TileInst>& code, int values);

// Makes constants anew where they are read, so that they hold no register in between. Returns the
// number of values then.
int repeat_constants(std::vector<TileInst>& code, int values);

}  // namespace moai::codegen
