// Where the PyTorch bridge is.
#pragma once
#include <string>

#include "moai/status.h"

namespace moai::cli {

struct BridgePath {
  std::string python;   // goes first in PYTHONPATH
  std::string library;  // for MOAI_BRIDGE; empty: the package has its own
};

// MOAI_PYTHON_DIR, else `python` beside the binary, else the source tree that the binary was built
// in.
StatusOr<BridgePath> find_bridge();
// The folder that holds the running binary.
std::string binary_folder();

}  // namespace moai::cli
