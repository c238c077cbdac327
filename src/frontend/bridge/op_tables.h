// Exceptions that a schema does not tell, by operator.
#pragma once
#include <string_view>
#include <vector>

namespace moai::bridge {

// A Scalar or float that fixes a shape or an algorithm, so that it is hashed and not lifted.
bool is_structural_number(std::string_view record_name, std::string_view argument);
// A factor that is nearly always 1: then hashed, so that the server leaves the product out; else
// lifted.
bool is_structural_when_one(std::string_view argument);
// Draws random numbers without a generator argument: seed and offset follow its arguments.
bool adds_random_word_at_end(std::string_view record_name);
// Has a composite kernel that is wrong here (it picks kernels of CPU or CUDA builds).
bool is_never_taken_apart(std::string_view record_name);
// Takes cpu tensors beside device tensors by design.
bool takes_host_tensors(std::string_view name);
// Operators with a composite kernel that are sent whole where the server has them.
const std::vector<const char*>& whole_ops();

}  // namespace moai::bridge
