// Linear scan: one pass for last uses, one to hand out numbers.
#include <vector>

#include "codegen/tile_builder.h"

namespace moai::codegen {
namespace {

int bytes_of(TileType t) {
  switch (t) {
    case TileType::f64:
    case TileType::i64: return 8;
    case TileType::boolean: return 1;
    default: return 4;
  }
}

}  // namespace

int allocate_registers(std::vector<TileInst>& code, int values) {
  std::vector<size_t> last_use(static_cast<size_t>(values), 0);
  std::vector<TileType> type(static_cast<size_t>(values), TileType::f32);
  std::vector<bool> is_kept(static_cast<size_t>(values), false);
  std::vector<int16_t> number(static_cast<size_t>(values), -1);
  for (size_t i = 0; i < code.size(); i++)
    for (int16_t r : {code[i].a, code[i].b, code[i].c})
      if (r >= 0) last_use[static_cast<size_t>(r)] = i;
  std::vector<int16_t> free;
  int16_t count = 0;
  for (size_t i = 0; i < code.size(); i++) {
    TileInst& inst = code[i];
    int16_t operands[3] = {inst.a, inst.b, inst.c};
    int16_t dst = inst.dst;
    bool is_truth = inst.op == TileOp::compute && info(inst.prim).domain == Domain::truth;
    TileType made = is_truth ? TileType::boolean : inst.type;
    auto release = [&](bool early) {
      for (int k = 0; k < 3; k++) {
        int16_t r = operands[k];
        if (r < 0) continue;
        size_t at = static_cast<size_t>(r);
        // An operand of another width would be overwritten while it is read.
        bool same = bytes_of(type[at]) == bytes_of(made);
        if (last_use[at] != i || is_kept[at] || number[at] < 0 || same != early) continue;
        bool seen = false;
        for (int j = 0; j < k; j++) seen |= operands[j] == r;
        if (!seen) free.push_back(number[at]);
      }
    };
    auto renamed = [&](int16_t r) { return r < 0 ? r : number[static_cast<size_t>(r)]; };
    inst.a = renamed(inst.a), inst.b = renamed(inst.b), inst.c = renamed(inst.c);
    release(true);
    if (dst >= 0) {
      size_t at = static_cast<size_t>(dst);
      type[at] = made;
      // What a reduce leaves lives across tiles.
      is_kept[at] = inst.op == TileOp::reduce;
      if (free.empty() || is_kept[at]) {
        number[at] = count++;
      } else {
        number[at] = free.back();
        free.pop_back();
      }
      inst.dst = number[at];
      if (last_use[at] == 0 && !is_kept[at]) free.push_back(number[at]);
    }
    release(false);
  }
  return count;
}

int repeat_constants(std::vector<TileInst>& code, int values) {
  std::vector<TileInst> old, made(static_cast<size_t>(values));
  std::vector<bool> is_constant(static_cast<size_t>(values), false);
  old.swap(code);
  for (TileInst i : old) {
    if (i.op == TileOp::constant) {
      made[static_cast<size_t>(i.dst)] = i;
      is_constant[static_cast<size_t>(i.dst)] = true;
      continue;
    }
    for (int16_t* r : {&i.a, &i.b, &i.c}) {
      if (*r < 0 || !is_constant[static_cast<size_t>(*r)] || values >= INT16_MAX) continue;
      code.push_back(made[static_cast<size_t>(*r)]);
      *r = code.back().dst = static_cast<int16_t>(values++);
    }
    code.push_back(i);
  }
  return values;
}

}  // namespace moai::codegen
