// Status to PyTorch's exceptions: the only place where the bridge throws on behalf of other rooms.
#pragma once
#include <string>

#include "moai/status.h"

namespace moai::bridge {

// Throws the exception class that a CUDA program would see.
[[noreturn]] void throw_status(const Status& status);
inline void throw_if_error(const Status& status) {
  if (!status.ok()) throw_status(status);
}
[[noreturn]] void throw_bad_fork();
[[noreturn]] void throw_out_of_memory(uint64_t bytes, uint64_t free_bytes, uint64_t total_bytes);
[[noreturn]] void throw_unsupported(const std::string& op, const std::string& reason);
// `op` took tensors of both devices.
[[noreturn]] void throw_mixed_devices(const std::string& device, const std::string& op);

}  // namespace moai::bridge
