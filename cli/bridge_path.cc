#include "cli/bridge_path.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/carried_bridge.h"

namespace moai::cli {

namespace fs = std::filesystem;

std::string binary_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

std::vector<std::string> torch_versions(const std::string& modules) {
  std::vector<std::pair<int, int>> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(modules, error)) {
    int major = 0, minor = 0, end = 0;
    const std::string name = entry.path().filename();
    if (std::sscanf(name.c_str(), "moai_torch_%d_%d.so%n", &major, &minor, &end) == 2 &&
        static_cast<size_t>(end) == name.size())
      found.emplace_back(major, minor);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (auto [major, minor] : found)
    names.push_back(std::to_string(major) + "." + std::to_string(minor));
  return names;
}

StatusOr<BridgePath> find_bridge() {
  std::error_code error;
  if (const char* given = std::getenv("MOAI_PYTHON_DIR")) {
    if (fs::is_directory(given, error))
      return BridgePath{fs::absolute(given), fs::path(given) / "moai_torch/lib"};
    return Status{StatusCode::not_found,
                  "the bridge folder " + std::string(given) + " of MOAI_PYTHON_DIR does not exist"};
  }
  fs::path folder = binary_folder();
  for (const fs::path& python : {folder / "python", folder / "../lib/moai/python",
                                 folder / "../lib/x86_64-linux-gnu/moai/python"})
    if (fs::is_directory(python / "moai_torch", error))
      return BridgePath{python.lexically_normal(), python.lexically_normal() / "moai_torch/lib"};
  fs::path source = (folder / ".." / "python").lexically_normal();
  fs::path modules = folder / "src/frontend/bridge";
  bool has_module = !torch_versions(modules).empty() || std::getenv("MOAI_BRIDGE") != nullptr;
  if (fs::is_directory(source / "moai_torch", error) && has_module)
    return BridgePath{source, modules};
  MOAI_ASSIGN_OR_RETURN(const fs::path unpacked, unpack_bridge());
  return BridgePath{unpacked, unpacked / "moai_torch/lib"};
}

}  // namespace moai::cli
