// Which class makes the kernel of a primitive.
#include <functional>

#include "src/device/cpu/kernels.h"

namespace moai::cpu {

StatusOr<std::unique_ptr<Kernel>> make_library_kernel(const LibraryKernel& k, [[maybe_unused]] const Target& target) {
  switch (k.op) {
    default:
      return unimplemented("[" + std::string(info(k.op).name) + "] has no kernel on the cpu device");
  }
}

}  // namespace moai::cpu
