// The primitives of ops.def as an enum and a table.
#pragma once
#include <cstdint>
#include <string_view>

namespace moai {

enum class Prim : uint8_t {
#define MOAI_POINTWISE(name, arity, domain, rule, expression) name,
#define MOAI_PRIMITIVE(name, operands, results, rule) name,
#include "moai/ops.def"
};

enum class Domain : uint8_t { number, real, integer, any, truth, none };

struct OpInfo {
  std::string_view name;
  int8_t operands;  // -1: a list
  int8_t results;
  bool is_pointwise;
  Domain domain;  // none unless pointwise
  std::string_view rule;
  std::string_view expression;  // empty unless pointwise
};

inline constexpr OpInfo kOps[] = {
#define MOAI_POINTWISE(name, arity, domain, rule, expression) \
  {#name, arity, 1, true, Domain::domain, rule, #expression},
#define MOAI_PRIMITIVE(name, operands, results, rule) \
  {#name, operands, results, false, Domain::none, rule, {}},
#include "moai/ops.def"
};
inline constexpr int kPrimCount = static_cast<int>(sizeof kOps / sizeof *kOps);

constexpr const OpInfo& info(Prim op) { return kOps[static_cast<size_t>(op)]; }
constexpr bool is_pointwise(Prim op) { return info(op).is_pointwise; }

}  // namespace moai
