#include "cli/bridge_path.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace moai::cli {

namespace fs = std::filesystem;

std::string binary_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

StatusOr<BridgePath> find_bridge() {
  std::error_code error;
  if (const char* given = std::getenv("MOAI_PYTHON_DIR")) {
    if (fs::is_directory(given, error)) return BridgePath{fs::absolute(given), ""};
    return Status{StatusCode::not_found,
                  "the bridge folder " + std::string(given) + " of MOAI_PYTHON_DIR does not exist"};
  }
  fs::path folder = binary_folder();
  for (const fs::path& python : {folder / "python", folder / "../lib/moai/python",
                                 folder / "../lib/x86_64-linux-gnu/moai/python"})
    if (fs::is_directory(python / "moai_torch", error))
      return BridgePath{python.lexically_normal(), ""};
  fs::path source = (folder / ".." / "python").lexically_normal();
  fs::path library = folder / "src/frontend/bridge/moai_torch_2_13.so";
  bool has_library = fs::exists(library, error) || std::getenv("MOAI_BRIDGE") != nullptr;
  if (fs::is_directory(source / "moai_torch", error) && has_library)
    return BridgePath{source, library};
  return Status{StatusCode::not_found,
                "the PyTorch bridge is not in " + (folder / "python").string() +
                    "; build it with -Dfrontend=enabled, or name its folder in MOAI_PYTHON_DIR"};
}

}  // namespace moai::cli
