// Plans of random kernel lists, replayed on memory that remembers whose bytes it holds.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "sched/memory_plan.h"

using namespace moai;
using namespace moai::sched;

namespace {

constexpr uint64_t kCell = 64;  // sizes are multiples
constexpr uint32_t kNobody = UINT32_MAX;

struct Case {
  std::vector<PlanValue> values;
  std::vector<PlanKernel> kernels;
  uint32_t slots = 0;
};

class Memory {
 public:
  explicit Memory(const MemoryPlan& plan) : plan_(plan) {}
  void write(uint32_t value, uint32_t token) {
    each_cell(value, [&](Cell c) { cells_[c] = token; });
  }
  bool holds(uint32_t value, uint32_t token) {
    bool all = true;
    each_cell(value, [&](Cell c) {
      auto it = cells_.find(c);
      all &= it != cells_.end() && it->second == token;
    });
    return all;
  }
  bool overlap(uint32_t a, uint32_t b) const {
    const Buffer &x = plan_.buffers[a], &y = plan_.buffers[b];
    return x.kind == y.kind && x.index == y.index && x.offset < y.offset + y.bytes &&
           y.offset < x.offset + x.bytes;
  }

 private:
  using Cell = std::pair<uint32_t, uint64_t>;  // arena: index UINT32_MAX
  template <class F>
  void each_cell(uint32_t value, F&& f) {
    const Buffer& b = plan_.buffers[value];
    uint32_t where = b.kind == BufferKind::arena ? UINT32_MAX : b.index;
    for (uint64_t at = 0; at < b.bytes; at += kCell) f({where, (b.offset + at) / kCell});
  }
  const MemoryPlan& plan_;
  std::map<Cell, uint32_t> cells_;
};

// Runs copies and kernels; "" or what went wrong.
class Replay {
 public:
  Replay(const Case& c, const MemoryPlan& plan) : c_(c), plan_(plan), memory_(plan) {}

  std::string run() {
    for (uint32_t v = 0; v < c_.values.size(); v++)
      if (c_.values[v].input_slot >= 0) memory_.write(v, v);
    for (uint32_t v = 0; v < c_.values.size(); v++) {
      const Buffer& b = plan_.buffers[v];
      if (b.offset % 256 != 0) return "value " + std::to_string(v) + " is not aligned";
      if (b.kind == BufferKind::arena && b.offset + b.bytes > plan_.arena_bytes)
        return "the arena is too small";
    }
    for (uint32_t k = 0; k <= c_.kernels.size(); k++) {
      if (!copies_before(k))
        return "kernel " + std::to_string(k) + ": a copy of bytes that are gone";
      if (k == c_.kernels.size()) break;
      if (std::string wrong = kernel(k); !wrong.empty())
        return "kernel " + std::to_string(k) + ": " + wrong;
    }
    for (uint32_t v = 0; v < c_.values.size(); v++) {
      int32_t slot = c_.values[v].output_slot;
      if (slot < 0) continue;
      uint32_t home = v;  // a value that lies in the slot's block
      for (uint32_t i = 0; i < c_.values.size(); i++)
        if (c_.values[i].input_slot == slot) home = i;
      if (!memory_.holds(home, v))
        return "slot " + std::to_string(slot) + " does not hold its output";
    }
    for (uint32_t v = 0; v < c_.values.size(); v++) {
      if (c_.values[v].input_slot < 0) continue;
      bool is_replaced = std::any_of(c_.values.begin(), c_.values.end(), [&](const PlanValue& o) {
        return o.output_slot == c_.values[v].input_slot;
      });
      if (!is_replaced && !memory_.holds(v, v))
        return "an input that nobody updates was overwritten";
    }
    return "";
  }

 private:
  bool copies_before(uint32_t k) {
    for (const auto& copy : plan_.copies) {
      if (copy.before_kernel != k) continue;
      if (!memory_.holds(copy.from, copy.from)) return false;
      memory_.write(copy.to, copy.from);
    }
    return true;
  }

  std::string kernel(uint32_t k) {
    const PlanKernel& kernel = c_.kernels[k];
    for (size_t u = 0; u < kernel.uses.size(); u++) {
      const PlanUse& use = kernel.uses[u];
      // A base that the kernel itself does not read may have been copied away before.
      if (!use.is_write && !is_base(kernel, u) && !memory_.holds(use.value, use.value))
        return "value " + std::to_string(use.value) + " is read but gone";
      if (!use.is_write) continue;
      for (size_t i = 0; i < kernel.uses.size(); i++) {
        const PlanUse& other = kernel.uses[i];
        if (i == u || !memory_.overlap(use.value, other.value) || other.value == use.value)
          continue;
        if (other.is_write) return "two results overlap";
        bool is_allowed =
            std::any_of(kernel.aliases.begin(), kernel.aliases.end(),
                        [&](const PlanAlias& a) { return a.output == u && a.input == i; });
        if (!is_allowed && !is_base(kernel, i)) return "a result overwrites an operand";
      }
    }
    for (const PlanAlias& a : kernel.aliases)
      if (a.must && !memory_.holds(kernel.uses[a.output].value, kernel.uses[a.input].value))
        return "a partial write without its base";
    for (const PlanUse& use : kernel.uses)
      if (use.is_write) memory_.write(use.value, use.value);
    return "";
  }
  static bool is_base(const PlanKernel& kernel, size_t u) {
    return std::any_of(kernel.aliases.begin(), kernel.aliases.end(),
                       [&](const PlanAlias& a) { return a.must && a.input == u; });
  }

  const Case& c_;
  const MemoryPlan& plan_;
  Memory memory_;
};

Case random_case(uint64_t seed) {
  std::mt19937_64 random(seed);
  auto pick = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
  Case c;
  std::vector<uint32_t> readable;
  auto add = [&](PlanValue v) {
    c.values.push_back(v);
    return static_cast<uint32_t>(c.values.size() - 1);
  };
  uint32_t inputs = 1 + pick(5);
  for (uint32_t i = 0; i < inputs; i++)
    readable.push_back(add({kCell * (1 + pick(3)), static_cast<int32_t>(c.slots++), -1, -1}));
  uint32_t count = 3 + pick(30);
  for (uint32_t k = 0; k < count; k++) {
    PlanKernel kernel;
    for (uint32_t r = 0, n = pick(4); r < n; r++) {
      // Mostly what was made last.
      uint32_t back = pick(3) ? pick(std::min<uint32_t>(4, static_cast<uint32_t>(readable.size())))
                              : pick(readable.size());
      kernel.uses.push_back({readable[readable.size() - 1 - back], false});
    }
    size_t reads = kernel.uses.size();
    for (uint32_t w = 0, n = 1 + pick(2); w < n; w++) {
      uint64_t bytes =
          reads && pick(2) ? c.values[kernel.uses[pick(reads)].value].bytes : kCell * (1 + pick(4));
      uint32_t v = add({bytes, -1, -1, -1});
      uint32_t output = static_cast<uint32_t>(kernel.uses.size());
      kernel.uses.push_back({v, true});
      bool has_must = false;
      for (uint32_t r = 0; r < reads; r++) {
        if (c.values[kernel.uses[r].value].bytes != bytes || pick(2)) continue;
        bool must = !has_must && w == 0 && pick(3) == 0;
        has_must |= must;
        kernel.aliases.push_back({output, r, must});
      }
      readable.push_back(v);
    }
    c.kernels.push_back(kernel);
  }
  // New versions of inputs, and fresh storages.
  for (uint32_t i = 0; i < inputs; i++)
    for (uint32_t v = static_cast<uint32_t>(c.values.size()); v-- > inputs;)
      if (c.values[v].output_slot < 0 && c.values[v].bytes == c.values[i].bytes && pick(4) == 0) {
        c.values[v].output_slot = c.values[i].input_slot;
        break;
      }
  for (uint32_t v = inputs; v < c.values.size(); v++)
    if (c.values[v].output_slot < 0 && pick(6) == 0)
      c.values[v].output_slot = static_cast<int32_t>(c.slots++);
  return c;
}

}  // namespace

TEST_CASE("Plans of random kernel lists keep every value until its last reader") {
  for (uint64_t seed = 1; seed <= 2000; seed++) {
    Case c = random_case(seed);
    auto plan = memory_plan(c.values, c.kernels, c.slots);
    INFO("seed " << seed);
    REQUIRE(plan.status().to_string() == ok_status().to_string());
    REQUIRE(Replay(c, *plan).run() == "");
  }
}

TEST_CASE("An updated parameter is written into its storage's block") {
  // w' = w - g, nobody reads w later.
  std::vector<PlanValue> values = {{256, 0, -1, -1}, {256, 1, -1, -1}, {256, -1, 0, -1}};
  std::vector<PlanKernel> kernels = {{{{0, false}, {1, false}, {2, true}}, {{2, 0, false}}}};
  auto plan = memory_plan(values, kernels, 2);
  REQUIRE(plan.ok());
  CHECK(plan->copies.empty());
  CHECK(plan->arena_bytes == 0);
  CHECK(plan->buffers[2] == plan->buffers[0]);
}

TEST_CASE("A later reader of the old version costs a copy at the end") {
  std::vector<PlanValue> values = {{256, 0, -1, -1}, {256, -1, 0, -1}, {256, -1, 1, -1}};
  std::vector<PlanKernel> kernels = {{{{0, false}, {1, true}}, {{1, 0, false}}},
                                     {{{0, false}, {2, true}}, {}}};
  auto plan = memory_plan(values, kernels, 2);
  REQUIRE(plan.ok());
  REQUIRE(plan->copies.size() == 1);
  CHECK(plan->copies[0].before_kernel == 2);
  CHECK(plan->buffers[1].kind == BufferKind::arena);
}

TEST_CASE("Updates of parts in a row stay in the storage's block") {
  std::vector<PlanValue> values = {{256, 0, -1, -1}, {256, -1, -1, -1}, {256, -1, 0, -1}};
  std::vector<PlanKernel> kernels = {{{{1, true}, {0, false}}, {{0, 1, true}}},
                                     {{{2, true}, {1, false}}, {{0, 1, true}}}};
  auto plan = memory_plan(values, kernels, 1);
  REQUIRE(plan.ok());
  CHECK(plan->copies.empty());
  CHECK(plan->arena_bytes == 0);
}

TEST_CASE("Parts are made where their whole lies, from the first part to the whole's last reader") {
  // 0: input; 1, 2: parts of 3; 4: made between them; 5: made from the whole.
  std::vector<PlanValue> values(6, {256, -1, -1, -1});
  values[0].input_slot = 0;
  values[3].bytes = 512;
  values[1].part_of = values[2].part_of = 3;
  values[2].part_at = 256;
  values[5].output_slot = 1;
  std::vector<PlanKernel> kernels = {{{{0, false}, {1, true}}, {}},
                                     {{{1, false}, {4, true}}, {{1, 0, false}}},
                                     {{{4, false}, {2, true}}, {{1, 0, false}}},
                                     {{{3, false}, {5, true}}, {}}};
  auto plan = memory_plan(values, kernels, 2);
  REQUIRE(plan.status().to_string() == ok_status().to_string());
  CHECK(plan->copies.empty());
  const Buffer& whole = plan->buffers[3];
  CHECK(plan->buffers[1].offset == whole.offset);
  CHECK(plan->buffers[2].offset == whole.offset + 256);
  CHECK(plan->buffers[2].bytes == 256);
  const Buffer& between = plan->buffers[4];
  CHECK((between.offset >= whole.offset + 512 || between.offset + 256 <= whole.offset));
  CHECK(plan->arena_bytes == 768);
  values[3].output_slot = 2;  // the whole is an output: so its parts are made in the storage
  plan = memory_plan(values, kernels, 3);
  REQUIRE(plan.ok());
  CHECK(plan->buffers[2].kind == BufferKind::bound);
  CHECK(plan->buffers[2].index == 2);
  CHECK(plan->buffers[2].offset == 256);
  CHECK(plan->copies.empty());
}

TEST_CASE("Broken parts are refused") {
  std::vector<PlanKernel> kernels = {{{{0, true}, {1, true}, {2, true}}, {}}};
  auto refused = [&](auto&& change) {
    std::vector<PlanValue> values(3, {256, -1, -1, -1});
    change(values);
    return !memory_plan(values, kernels, 1).ok();
  };
  CHECK(refused([](auto& v) { v[0].part_of = 7; }));
  CHECK(refused([](auto& v) { v[0].part_of = 1, v[0].part_at = 8; }));
  CHECK(refused([](auto& v) { v[0].part_of = 1, v[1].part_of = 2; }));
  CHECK(refused([](auto& v) { v[0].part_of = 1, v[0].output_slot = 0; }));
  CHECK_FALSE(refused([](auto& v) { v[0].part_of = 1; }));
}

TEST_CASE("Broken lists are refused") {
  std::vector<PlanValue> values = {{256, -1, -1, -1}, {256, -1, -1, -1}};
  std::vector<PlanKernel> kernels = {{{{0, false}, {1, true}}, {}}};
  CHECK_FALSE(memory_plan(values, kernels, 0).ok());
  kernels = {{{{7, true}}, {}}};
  CHECK_FALSE(memory_plan(values, kernels, 0).ok());
}

TEST_CASE("The arena is close to the largest sum of live bytes") {
  // Forward and backward of layers of changing size: what forward leaves is read by backward.
  for (uint64_t seed = 1; seed <= 20; seed++) {
    for (uint32_t layers : {20u, 200u, 1500u}) {
      std::mt19937_64 random(seed);
      Case c;
      std::vector<uint32_t> saved;
      c.values.push_back({4096, 0, -1, -1});
      uint32_t last = 0;
      for (uint32_t l = 0; l < layers; l++) {
        for (int step = 0; step < 3; step++) {
          uint64_t bytes = 256 * (1 + random() % 64);
          c.values.push_back({bytes, -1, -1, -1});
          uint32_t v = static_cast<uint32_t>(c.values.size() - 1);
          c.kernels.push_back({{{last, false}, {v, true}}, {}});
          last = v;
          if (step == 1) saved.push_back(v);
        }
      }
      while (!saved.empty()) {
        c.values.push_back({c.values[saved.back()].bytes, -1, -1, -1});
        uint32_t v = static_cast<uint32_t>(c.values.size() - 1);
        c.kernels.push_back({{{last, false}, {saved.back(), false}, {v, true}}, {}});
        saved.pop_back();
        last = v;
      }
      c.values[last].output_slot = 1;
      auto plan = memory_plan(c.values, c.kernels, 2);
      REQUIRE(plan.ok());
      std::vector<uint64_t> live(c.kernels.size() + 1);
      std::vector<uint32_t> first(c.values.size(), kNobody), end(c.values.size(), 0);
      for (uint32_t k = 0; k < c.kernels.size(); k++)
        for (const PlanUse& use : c.kernels[k].uses) {
          first[use.value] = std::min(first[use.value], k);
          end[use.value] = k;
        }
      for (uint32_t v = 1; v < c.values.size(); v++)
        for (uint32_t k = first[v]; c.values[v].output_slot < 0 && k <= end[v]; k++)
          live[k] += c.values[v].bytes;
      uint64_t peak = *std::max_element(live.begin(), live.end());
      INFO("seed " << seed << ", layers " << layers);
      CHECK(static_cast<double>(plan->arena_bytes) <= 1.15 * static_cast<double>(peak));
    }
  }
}
