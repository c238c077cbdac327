#include "cli/doctor_python.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <vector>

#include "cli/bridge_path.h"

namespace moai::cli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kOther = "name another with --python";

// Empty: not there.
std::string found_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  std::error_code error;
  for (std::string folder; std::getline(folders, folder, ':');) {
    fs::path file = fs::path(folder) / program;
    if (fs::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

// What a command prints on its first line, and whether it ended well and within a minute.
bool first_line(const std::string& command, std::string& line) {
  FILE* pipe = ::popen(("timeout 60 " + command).c_str(), "re");
  if (pipe == nullptr) return false;
  char text[512] = {};
  if (std::fgets(text, sizeof text, pipe) != nullptr) line = text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return ::pclose(pipe) == 0;
}

// The word for a shell, whatever it holds.
std::string shell_word(const std::string& word) {
  std::string text = "'";
  for (char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

PythonChoice choose_python(const std::string& named) {
  if (!named.empty()) return {named, "from --python"};
  // A folder that is gone is worth hearing about: the shell still thinks that it is there.
  if (const char* folder = std::getenv("VIRTUAL_ENV"); folder != nullptr && *folder != 0)
    return {fs::path(folder) / "bin/python", "from VIRTUAL_ENV"};
  std::error_code error;
  if (fs::exists(".venv/bin/python", error)) return {".venv/bin/python", "from ./.venv"};
  std::string found = found_in_path("python3");
  return {found.empty() ? "python3" : found, "from PATH"};
}

bool run_python(const std::string& python, const std::string& code, std::string& line) {
  return first_line(shell_word(python) + " -c " + shell_word(code) + " 2>/dev/null", line);
}

Finding check_torch(const std::string& named_python) {
  PythonChoice python = choose_python(named_python);
  std::string which = python.program + " (" + python.origin + ")";
  std::string version, torch;
  if (!run_python(python.program, "import platform; print(platform.python_version())", version))
    return {Grade::bad, "python", which + " does not run",
            std::string("install Python 3, or ") + kOther};
  std::string found = which + ", Python " + version;
  StatusOr<BridgePath> bridge = find_bridge();
  std::vector<std::string> known;
  if (bridge.ok()) known = torch_versions(bridge->modules);
  const std::string fits = known.empty() ? "2.13" : known.front();
  std::string install = "pip install torch==" + fits + ".* for it, or " + std::string(kOther);
  if (!run_python(python.program, "import torch; print(torch.__version__)", torch))
    return {Grade::bad, "pytorch", found + ": it has no PyTorch", install};
  found += ", PyTorch " + torch;
  for (const std::string& fit : known)
    if (torch.rfind(fit + ".", 0) == 0) return {Grade::ok, "pytorch", found, ""};
  return {Grade::bad, "pytorch", found + ": the bridge does not fit it", install};
}

}  // namespace moai::cli
