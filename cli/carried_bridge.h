// The PyTorch bridge that the binary carries: its Python part and a module for each PyTorch.
#pragma once
#include <filesystem>
#include <string_view>
#include <vector>

#include "moai/status.h"

namespace moai::cli {

struct CarriedFile {
  std::string_view path, bytes;
};
// Empty in a binary that was built without a bridge.
std::vector<CarriedFile> carried_files();

// Writes the files below `folder`, each under another name first, so that a reader sees all of a
// file or none.
Status write_carried_files(const std::filesystem::path& folder);

// Where they lie in the user's cache; writes them if need be, for several processes at a time.
StatusOr<std::filesystem::path> unpack_bridge();

}  // namespace moai::cli
