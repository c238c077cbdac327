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

// python: the program to look at; empty: the one that a program here would get.
std::vector<Finding> examine(const std::string& python);

}  // namespace moai::cli
