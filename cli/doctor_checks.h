// The checks of moai doctor, one finding each.
#pragma once
#include <string>
#include <vector>

namespace moai::cli {

enum class Grade { ok, note, bad };
struct Finding {
  Grade grade = Grade::ok;
  std::string subject, text, advice;
};

std::vector<Finding> examine(const std::string& python);

}  // namespace moai::cli
