// Text form of a graph: how programs travel, are cached, dumped and compared. parse() reads
// untrusted text.
#pragma once
#include <string>
#include <string_view>

#include "src/ir/graph.h"

namespace moai::ir {

std::string print(const Graph&);
StatusOr<Graph> parse(std::string_view);  // parse(print(g)) == g

}  // namespace moai::ir
