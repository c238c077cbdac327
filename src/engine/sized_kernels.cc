#include "src/engine/sized_kernels.h"

#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

namespace moai::engine {
namespace {

// Takes the number out and leaves zero. put() is the way back.
int64_t take(int64_t& x) { return std::exchange(x, 0); }
int64_t take(uint64_t& x) { return static_cast<int64_t>(std::exchange(x, 0)); }
void put(int64_t& x, int64_t number) { x = number; }
void put(uint64_t& x, int64_t number) { x = static_cast<uint64_t>(number); }

// The float of an instruction. Where something is divided by a count, as for a mean, it is the
// count or one over it, a number like others (the latter as minus the count). Other floats stay.
struct Float {
  double& x;
  bool is_f32;
  double one_over(double count) const {
    return is_f32 ? static_cast<double>(static_cast<float>(1 / count)) : 1 / count;
  }
};
int64_t take(Float f) {
  constexpr double kCountMax = 1 << 22;  // neighbours differ in f32
  const double count = f.x < 1 ? std::round(1 / f.x) : f.x;
  if (!(count >= 1 && count <= kCountMax)) return 0;
  if (f.x != (f.x < 1 ? f.one_over(count) : std::floor(count))) return 0;
  const auto number = static_cast<int64_t>(count);
  return std::exchange(f.x, 0) < 1 ? -number : number;
}
void put(Float f, int64_t number) {
  f.x = number < 0 ? f.one_over(static_cast<double>(-number)) : static_cast<double>(number);
}

template <class F>
void for_each_number(Shape& shape, F& f) {
  for (int64_t& x : shape) f(x);
}

template <class F>
void for_each_number(TileProgram& tile, F& f) {
  for_each_number(tile.space, f);
  for (std::vector<TileBuffer>* maps : {&tile.buffers, &tile.rng_maps})
    for (TileBuffer& map : *maps) {
      f(map.offset);
      for_each_number(map.strides, f);
    }
  for (TileInst& inst : tile.code) {
    f(inst.imm_i);
    f(Float{inst.imm_f, inst.type == TileType::f32});
  }
}

template <class F>
void for_each_number(LibraryKernel& kernel, F& f) {
  for (Operand& x : kernel.operands) {
    for_each_number(x.sizes, f);
    for_each_number(x.strides, f);
    f(x.offset);
  }
  std::visit(
      [&](auto& attrs) {
        attrs.visit([&](const char*, auto& field) {
          using Field = std::remove_reference_t<decltype(field)>;
          if constexpr (std::is_same_v<Field, Shape>) for_each_number(field, f);
          if constexpr (std::is_same_v<Field, int64_t>) f(field);
        });
      },
      kernel.attrs);
}

// f(number) for all that may change with a size.
template <class F>
void for_each_number(KernelList& list, F&& f) {
  for (sched::PlanValue& value : list.values) {
    f(value.bytes);
    f(value.part_at);
  }
  for (ListedKernel& kernel : list.kernels)
    std::visit([&](auto& source) { for_each_number(source, f); }, kernel.source);
}

// What is left is equal where plans took the same decisions.
std::vector<int64_t> take_numbers(KernelList& list) {
  std::vector<int64_t> numbers;
  for_each_number(list, [&](auto&& x) { numbers.push_back(take(x)); });
  return numbers;
}

}  // namespace

bool differ_in_numbers(KernelList a, KernelList b) {
  return take_numbers(a) != take_numbers(b) && a == b;
}

// Modulo 2^64, so that no step on the way to a number that fits overflows.
int64_t SizedKernels::Changing::at(int64_t s) const {
  const auto u = [](int64_t x) { return static_cast<uint64_t>(x); };
  return static_cast<int64_t>(u(first) + u(d1) * u(s) + u(d2) * u(s * (s - 1) / 2));
}

std::optional<SizedKernels> SizedKernels::make(int64_t lo, int64_t hi,
                                               const KernelsAt& kernels_at) {
  StatusOr<KernelList> first = kernels_at(lo);
  if (!first.ok()) return std::nullopt;
  SizedKernels sized;
  sized.lo_ = lo;
  sized.first_ = *first;
  const std::vector<int64_t> a = take_numbers(*first);
  const auto numbers_at = [&](int64_t t) -> std::optional<std::vector<int64_t>> {
    StatusOr<KernelList> list = kernels_at(t);
    if (!list.ok()) return std::nullopt;
    std::vector<int64_t> numbers = take_numbers(*list);
    if (!(*list == *first)) return std::nullopt;
    return numbers;
  };
  const auto b = numbers_at(lo + 1);
  if (!b) return std::nullopt;
  const auto c = numbers_at(lo + 2);
  if (!c) return std::nullopt;
  for (size_t i = 0; i < a.size(); i++) {
    int64_t d1 = 0, d2 = 0, next = 0;
    if (__builtin_sub_overflow((*b)[i], a[i], &d1) ||
        __builtin_sub_overflow((*c)[i], (*b)[i], &next) || __builtin_sub_overflow(next, d1, &d2))
      return std::nullopt;
    if (d1 != 0 || d2 != 0) sized.changing_.push_back({i, a[i], d1, d2});
  }
  for (int64_t t : {hi, hi - 1}) {
    const auto numbers = numbers_at(t);
    if (!numbers) return std::nullopt;
    auto changing = sized.changing_.begin();
    for (size_t i = 0; i < a.size(); i++) {
      int64_t expected = a[i];
      if (changing != sized.changing_.end() && changing->number == i)
        expected = changing++->at(t - lo);
      if ((*numbers)[i] != expected) return std::nullopt;
    }
  }
  return sized;
}

KernelList SizedKernels::at(int64_t t) const {
  KernelList list = first_;
  size_t i = 0;
  auto changing = changing_.begin();
  for_each_number(list, [&](auto&& x) {
    if (changing != changing_.end() && changing->number == i++) put(x, changing++->at(t - lo_));
  });
  return list;
}

uint64_t SizedKernels::bytes() const {
  uint64_t bytes =
      first_.values.size() * sizeof(sched::PlanValue) + changing_.size() * sizeof(Changing);
  for (const ListedKernel& kernel : first_.kernels) {
    bytes += sizeof kernel;
    if (const auto* tile = std::get_if<TileProgram>(&kernel.source))
      bytes += tile->buffers.size() * sizeof(TileBuffer) + tile->code.size() * sizeof(TileInst);
    else
      bytes += std::get<LibraryKernel>(kernel.source).operands.size() * sizeof(Operand);
  }
  return bytes;
}

}  // namespace moai::engine
