// Status to PyTorch's exceptions.
#include "src/frontend/bridge/errors.h"

#include <c10/util/Exception.h>

#include "src/base/memory_text.h"
#include "src/frontend/bridge/python_line.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

// Kernels run after the lines that ask for them.
std::string where() {
  return runtime().is_blocking()
             ? ""
             : ". An earlier line may have caused it: set CUDA_LAUNCH_BLOCKING=1 to see which.";
}

}  // namespace

void throw_status(const Status& status) {
  const std::string& text = status.message();
  switch (status.code()) {
    case StatusCode::resource_exhausted: TORCH_CHECK_WITH(OutOfMemoryError, false, text); break;
    case StatusCode::unimplemented: TORCH_CHECK_NOT_IMPLEMENTED(false, text); break;
    case StatusCode::out_of_range:
      throw c10::AcceleratorError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, 710,
                                  text + where());
    case StatusCode::ok:
    case StatusCode::invalid_argument:
    case StatusCode::not_found:
    case StatusCode::unavailable:
    case StatusCode::deadline_exceeded:
    case StatusCode::again:
    case StatusCode::permission_denied:
    case StatusCode::version_mismatch:
    case StatusCode::internal: break;
    case StatusCode::interrupted: throw_interrupted(); break;
  }
  TORCH_CHECK(false, text);
}

void throw_bad_fork() {
  TORCH_CHECK(false,
              "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, "
              "you must use "
              "the 'spawn' start method");
}

void throw_out_of_memory(uint64_t bytes, uint64_t free_bytes, uint64_t total_bytes) {
  throw_status(out_of_memory_status(bytes, free_bytes, total_bytes));
  std::abort();
}

void throw_unsupported(const std::string& op, const std::string& reason) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "[", op, "] ", reason);
  std::abort();
}

void throw_mixed_devices(const std::string& device, const std::string& op) {
  TORCH_CHECK(false,
              "Expected all tensors to be on the same device, but found at least two devices, ",
              device, " and cuda:0! (when checking ", op, ")");
}

}  // namespace moai::bridge
