// Keeps the binary startable on glibc 2.34: the static libstdc++ and libgcc of newer compilers ask
// for two younger functions.
#include <sys/random.h>

#include <cstdint>

struct dl_find_object;

extern "C" {

// Says "unknown": the unwinder then walks dl_iterate_phdr, as it did before glibc 2.35.
int _dl_find_object(void*, struct dl_find_object*) { return -1; }

// Behind std::random_device.
uint32_t arc4random() noexcept {
  uint32_t value = 0;
  while (::getrandom(&value, sizeof value, 0) != sizeof value) continue;
  return value;
}

}  // extern "C"
