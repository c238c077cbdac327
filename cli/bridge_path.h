// Where the PyTorch bridge is.
#pragma once
#include <string>
#include <vector>

#include "moai/status.h"

namespace moai::cli {

struct BridgePath {
  std::string python;   // goes first in PYTHONPATH
  std::string modules;  // folder of the modules, one for each PyTorch; for MOAI_BRIDGE
};

// MOAI_PYTHON_DIR, else `python` beside the binary, else the source tree that the binary was built
// in, else what the binary carries, unpacked.
StatusOr<BridgePath> find_bridge();
// "2.13", "2.14": the PyTorch versions that the folder has a module for.
std::vector<std::string> torch_versions(const std::string& modules);
// The folder that holds the running binary.
std::string binary_folder();

}  // namespace moai::cli
