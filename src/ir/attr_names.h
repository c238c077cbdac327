// Enumerators of the attributes as words of the text form. Private to src/ir.
#pragma once
#include <span>
#include <string_view>

#include "moai/op_attrs.h"

namespace moai::ir {

inline constexpr std::string_view kReduceNames[] = {"sum", "prod", "max",      "min",
                                                    "any", "all",  "logsumexp"};
inline constexpr std::string_view kScatterNames[] = {"set", "add", "mul", "max", "min"};
inline constexpr std::string_view kBoundsNames[] = {"error", "clip"};

constexpr std::span<const std::string_view> names_of(ReduceKind) { return kReduceNames; }
constexpr std::span<const std::string_view> names_of(ScatterKind) { return kScatterNames; }
constexpr std::span<const std::string_view> names_of(Bounds) { return kBoundsNames; }

inline constexpr std::string_view kGraphHeader = "moai.graph 1";
inline constexpr std::string_view kInputNames[] = {"storage", "scalar_int", "scalar_real"};

}  // namespace moai::ir
