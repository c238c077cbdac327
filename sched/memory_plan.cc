// Two steps. First, in kernel order, which values share one place: an update takes over the bytes
// of what it updates when nobody reads that again, and a new version of a storage is written into
// the storage's block once its old contents are read. Then offsets for the places that are in the
// arena.
#include "sched/memory_plan.h"

#include <algorithm>
#include <string>

#include "moai/limits.h"
#include "sched/free_list.h"

namespace moai::sched {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

class Planner {
 public:
  Planner(std::span<const PlanValue> values, std::span<const PlanKernel> kernels,
          uint32_t slot_count)
      : values_(values),
        kernels_(kernels),
        slot_count_(slot_count),
        life_(values.size()),
        has_parts_(values.size()),
        place_of_(values.size(), kNone),
        slots_(slot_count) {}

  StatusOr<MemoryPlan> run() {
    MOAI_RETURN_IF_ERROR(check_parts());
    MOAI_RETURN_IF_ERROR(find_lifetimes());
    MOAI_RETURN_IF_ERROR(claim_inputs());
    for (uint32_t k = 0; k < kernels_.size(); k++) MOAI_RETURN_IF_ERROR(visit(k));
    write_back();
    fill_buffers();
    return std::move(plan_);
  }

 private:
  struct Life {
    uint32_t first_write = kNone, last_use = 0;
    bool is_used = false;
  };
  // Bytes that one value after another occupies.
  struct Place {
    int64_t slot = -1;  // a storage's block, or -1: the arena
    uint64_t bytes = 0;
    uint32_t begin = 0, end = 0;
  };
  struct Slot {
    uint32_t input = kNone, output = kNone;  // values
    int64_t busy_until = -1;                 // last kernel that needs what the block holds
    uint32_t occupant = kNone;               // the value that it holds
  };

  uint32_t kernel_count() const { return static_cast<uint32_t>(kernels_.size()); }
  static Status broken(uint32_t v, const char* what) {
    return invalid("[memory plan] value " + std::to_string(v) + " " + what);
  }

  Status find_lifetimes() {
    for (uint32_t k = 0; k < kernels_.size(); k++)
      for (const PlanUse& use : kernels_[k].uses) {
        if (use.value >= values_.size()) return broken(use.value, "does not exist");
        if (!use.is_write && is_made(use.value) && life_[use.value].first_write == kNone)
          return broken(use.value, "is read before it is written");
        if (use.is_write && !is_made(use.value))
          return broken(use.value, "is an input and is written");
        note_use(use.value, k, use.is_write);
        if (int32_t whole = values_[use.value].part_of; whole >= 0)
          note_use(static_cast<uint32_t>(whole), k, use.is_write);
      }
    return ok_status();
  }
  void note_use(uint32_t v, uint32_t k, bool is_write) {
    Life& life = life_[v];
    if (is_write && life.first_write == kNone) life.first_write = k;
    life.last_use = k;
    life.is_used = true;
  }
  Status check_parts() {
    for (uint32_t v = 0; v < values_.size(); v++) {
      const PlanValue& part = values_[v];
      if (part.part_of < 0) continue;
      uint32_t whole = static_cast<uint32_t>(part.part_of);
      if (whole >= values_.size() || !is_made(whole) || values_[whole].part_of >= 0)
        return broken(v, "is a part of a value that cannot have parts");
      if (!is_made(v) || part.output_slot >= 0 || has_parts_[v])
        return broken(v, "cannot be a part: it is an input, an output or has parts");
      if (part.part_at > values_[whole].bytes || part.bytes > values_[whole].bytes - part.part_at)
        return broken(v, "is a part that goes beyond its whole");
      has_parts_[whole] = true;
    }
    return ok_status();
  }
  bool is_made(uint32_t v) const { return values_[v].input_slot < 0 && values_[v].parameter < 0; }

  Status claim_inputs() {
    for (uint32_t v = 0; v < values_.size(); v++) {
      const PlanValue& value = values_[v];
      for (int32_t s : {value.input_slot, value.output_slot})
        if (s >= static_cast<int32_t>(slot_count_))
          return broken(v, "names a slot that does not exist");
      if (value.input_slot >= 0 && value.output_slot >= 0 && value.input_slot != value.output_slot)
        return broken(v, "would have to move to another slot; copy it to a value of its own");
      if (value.input_slot >= 0) {
        Slot& slot = slots_[static_cast<size_t>(value.input_slot)];
        if (slot.input != kNone) return broken(v, "is a second input of its slot");
        slot.input = slot.occupant = v;
        if (life_[v].is_used) slot.busy_until = life_[v].last_use;
        place_of_[v] = new_place({value.input_slot, value.bytes, 0, kernel_count()});
      }
      if (value.output_slot >= 0) {
        Slot& slot = slots_[static_cast<size_t>(value.output_slot)];
        if (slot.output != kNone) return broken(v, "is a second output of its slot");
        slot.output = v;
        if (is_made(v) && life_[v].first_write == kNone)
          return broken(v, "is an output that nothing writes");
      }
    }
    return ok_status();
  }

  uint32_t new_place(const Place& p) {
    places_.push_back(p);
    return static_cast<uint32_t>(places_.size() - 1);
  }

  // The kernel after which nobody needs v.
  uint32_t end_of(uint32_t v) const {
    return values_[v].output_slot >= 0 ? kernel_count() : life_[v].last_use;
  }

  // Whether `output` may lie where `input` does: every read of the input in this kernel is at the
  // same place, and nobody reads it later.
  bool can_share(const PlanKernel& kernel, uint32_t k, uint32_t output, uint32_t input) const {
    uint32_t out = kernel.uses[output].value, in = kernel.uses[input].value;
    if (values_[in].bytes != values_[out].bytes || values_[in].bytes == 0 ||
        values_[in].parameter >= 0)
      return false;
    if (end_of(in) != k || place_of_[in] == kNone) return false;
    for (uint32_t v : {in, out})
      if (has_parts_[v] || values_[v].part_of >= 0) return false;
    for (uint32_t u = 0; u < kernel.uses.size(); u++) {
      if (kernel.uses[u].value != in || u == input) continue;
      bool is_named =
          std::any_of(kernel.aliases.begin(), kernel.aliases.end(),
                      [&](const PlanAlias& a) { return a.output == output && a.input == u; });
      if (!is_named) return false;
    }
    return true;
  }

  Status visit(uint32_t k) {
    const PlanKernel& kernel = kernels_[k];
    taken_.clear();
    for (uint32_t u = 0; u < kernel.uses.size(); u++) {
      uint32_t v = kernel.uses[u].value;
      if (!kernel.uses[u].is_write || life_[v].first_write != k || place_of_[v] != kNone) continue;
      uint32_t base = kNone, shared = kNone;
      for (const PlanAlias& a : kernel.aliases) {
        if (a.output >= kernel.uses.size() || a.input >= kernel.uses.size())
          return invalid("[memory plan] an alias names no use of its kernel");
        if (kernel.uses[a.output].value != v) continue;
        if (a.must) base = kernel.uses[a.input].value;
      }
      for (const PlanAlias& a : kernel.aliases) {
        uint32_t in = kernel.uses[a.input].value;
        if (kernel.uses[a.output].value != v || (base != kNone && in != base)) continue;
        if (shared == kNone && can_share(kernel, k, a.output, a.input) && take_over(v, in, k))
          shared = in;
      }
      if (shared == kNone) settle(v, k);
      if (base != kNone && base != shared) {
        uint64_t bytes = std::min(values_[base].bytes, values_[v].bytes);
        if (bytes > 0) plan_.copies.push_back({k, base, v, bytes});
      }
    }
    return ok_status();
  }

  // Puts v where `in` lies, if that place may go on to hold it.
  bool take_over(uint32_t v, uint32_t in, uint32_t k) {
    if (std::find(taken_.begin(), taken_.end(), in) != taken_.end()) return false;
    Place& place = places_[place_of_[in]];
    int32_t wanted = values_[v].output_slot;
    if (place.slot < 0) {
      if (wanted >= 0) {
        // The storage's block must be free since the place began.
        Slot& slot = slots_[static_cast<size_t>(wanted)];
        if (slot.busy_until >= static_cast<int64_t>(place.begin)) return false;
        place.slot = wanted;
        slot.occupant = v;
        slot.busy_until = kernel_count();
      }
    } else {
      Slot& slot = slots_[static_cast<size_t>(place.slot)];
      if (slot.occupant != in || slot.busy_until != static_cast<int64_t>(k)) return false;
      if (wanted >= 0 && wanted != place.slot) return false;
      // A version on the way to the slot's last one, which has to come after it.
      if (wanted < 0) {
        if (slot.output == kNone || life_[slot.output].first_write == kNone) return false;
        if (place_of_[slot.output] != kNone || life_[slot.output].first_write < end_of(v))
          return false;
      }
      slot.occupant = v;
      slot.busy_until = wanted >= 0 ? kernel_count() : end_of(v);
    }
    place.end = std::max(place.end, end_of(v));
    place_of_[v] = place_of_[in];
    taken_.push_back(in);
    return true;
  }

  // A place of its own: the storage's block where that is free, else the arena. A part lies in its
  // whole, which is there from its first part on.
  void settle(uint32_t v, uint32_t k) {
    if (values_[v].part_of >= 0) {
      uint32_t whole = static_cast<uint32_t>(values_[v].part_of);
      if (place_of_[whole] == kNone) settle(whole, k);
      place_of_[v] = place_of_[whole];
      return;
    }
    Place place{-1, values_[v].bytes, k, end_of(v)};
    if (int32_t wanted = values_[v].output_slot; wanted >= 0) {
      Slot& slot = slots_[static_cast<size_t>(wanted)];
      if (slot.busy_until < static_cast<int64_t>(k)) {
        place.slot = wanted;
        slot.occupant = v;
        slot.busy_until = kernel_count();
      }
    }
    place_of_[v] = new_place(place);
  }

  void write_back() {
    for (const Slot& slot : slots_) {
      if (slot.output == kNone || slot.input == kNone || slot.output == slot.input) continue;
      uint64_t bytes = std::min(values_[slot.output].bytes, values_[slot.input].bytes);
      if (places_[place_of_[slot.output]].slot < 0 && bytes > 0)
        plan_.copies.push_back({kernel_count(), slot.output, slot.input, bytes});
    }
  }

  void fill_buffers() {
    std::vector<Lifetime> lifetimes(places_.size());
    for (size_t p = 0; p < places_.size(); p++)
      if (places_[p].slot < 0)
        lifetimes[p] = {
            (places_[p].bytes + kBlockAlignBytes - 1) / kBlockAlignBytes * kBlockAlignBytes,
            places_[p].begin, places_[p].end};
    std::vector<uint64_t> offsets;
    plan_.arena_bytes = place(lifetimes, offsets);
    plan_.buffers.resize(values_.size());
    for (uint32_t v = 0; v < values_.size(); v++) {
      Buffer& b = plan_.buffers[v];
      b.bytes = values_[v].bytes;
      if (values_[v].parameter >= 0) {
        b.kind = BufferKind::bound;
        b.index = slot_count_;
        b.offset = static_cast<uint64_t>(values_[v].parameter) * 8;
      } else if (place_of_[v] != kNone) {
        const Place& p = places_[place_of_[v]];
        b.kind = p.slot >= 0 ? BufferKind::bound : BufferKind::arena;
        b.index = p.slot >= 0 ? static_cast<uint32_t>(p.slot) : 0;
        b.offset = (p.slot >= 0 ? 0 : offsets[place_of_[v]]) + values_[v].part_at;
      }
    }
  }

  std::span<const PlanValue> values_;
  std::span<const PlanKernel> kernels_;
  uint32_t slot_count_;
  std::vector<Life> life_;
  std::vector<bool> has_parts_;
  std::vector<uint32_t> place_of_;  // value -> place, or kNone
  std::vector<Place> places_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> taken_;  // inputs that an output of the current kernel took over
  MemoryPlan plan_;
};

}  // namespace

StatusOr<MemoryPlan> memory_plan(std::span<const PlanValue> values,
                                 std::span<const PlanKernel> kernels, uint32_t slot_count) {
  return Planner(values, kernels, slot_count).run();
}

}  // namespace moai::sched
