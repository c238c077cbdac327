// Which Python moai doctor looks at, and whether the bridge fits its PyTorch.
#pragma once
#include <string>

#include "cli/doctor_checks.h"

namespace moai::cli {

struct PythonChoice {
  std::string program;
  std::string origin;  // "from VIRTUAL_ENV"
};
// The one that is named, else that of VIRTUAL_ENV, ./.venv, or PATH.
PythonChoice choose_python(const std::string& named);

// Whether `python -c code` ended well and within a minute, and the first line that it printed.
bool run_python(const std::string& python, const std::string& code, std::string& line);

Finding check_torch(const std::string& named_python);

}  // namespace moai::cli
