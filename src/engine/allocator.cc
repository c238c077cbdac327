// The binary's malloc and mmap: counted, so that a test can see that a steady step asks for no
// memory.
//
// Only the moai executable links this file, and not under a sanitizer, which has an allocator of
// its own. The symbols of an executable come before those of libc, so libc's own calls land here
// too; operator new of the static libstdc++ calls malloc. What libc maps internally (thread stacks)
// is not seen.
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "src/base/memory_counts.h"

#if defined(MOAI_HAS_MIMALLOC)
#include <mimalloc.h>
#else
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}
#endif

namespace {

void count_allocation() { moai::memory_counts.allocations.fetch_add(1, std::memory_order_relaxed); }

#if defined(MOAI_HAS_MIMALLOC)
void* raw_malloc(size_t bytes) { return mi_malloc(bytes); }
void* raw_calloc(size_t count, size_t bytes) { return mi_calloc(count, bytes); }
void* raw_realloc(void* old, size_t bytes) { return mi_realloc(old, bytes); }
void* raw_memalign(size_t align, size_t bytes) { return mi_memalign(align, bytes); }
void raw_free(void* block) { mi_free(block); }
#else
void* raw_malloc(size_t bytes) { return __libc_malloc(bytes); }
void* raw_calloc(size_t count, size_t bytes) { return __libc_calloc(count, bytes); }
void* raw_realloc(void* old, size_t bytes) { return __libc_realloc(old, bytes); }
void* raw_memalign(size_t align, size_t bytes) { return __libc_memalign(align, bytes); }
void raw_free(void* block) { __libc_free(block); }
#endif

void* aligned(size_t align, size_t bytes) {
  count_allocation();
  return raw_memalign(align, bytes);
}

constexpr int kRemapFixed = 2;  // MREMAP_FIXED; the header renames mmap where files are large

constexpr bool is_power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

// As the kernel answers, with errno.
void* map(long number, long a, long b, long c, long d, long e, long f) {
  moai::memory_counts.mappings.fetch_add(1, std::memory_order_relaxed);
  return reinterpret_cast<void*>(::syscall(number, a, b, c, d, e, f));
}

}  // namespace

extern "C" {

#define MOAI_EXPORT __attribute__((visibility("default"), used))

MOAI_EXPORT void* malloc(size_t bytes) {
  count_allocation();
  return raw_malloc(bytes);
}
MOAI_EXPORT void* calloc(size_t count, size_t bytes) {
  count_allocation();
  return raw_calloc(count, bytes);
}
MOAI_EXPORT void* realloc(void* old, size_t bytes) {
  count_allocation();
  return raw_realloc(old, bytes);
}
MOAI_EXPORT void free(void* block) { raw_free(block); }

MOAI_EXPORT void* memalign(size_t align, size_t bytes) { return aligned(align, bytes); }
MOAI_EXPORT void* aligned_alloc(size_t align, size_t bytes) { return aligned(align, bytes); }
MOAI_EXPORT void* valloc(size_t bytes) { return aligned(4096, bytes); }
MOAI_EXPORT void* pvalloc(size_t bytes) { return aligned(4096, (bytes + 4095) / 4096 * 4096); }
MOAI_EXPORT int posix_memalign(void** result, size_t align, size_t bytes) {
  if (!is_power_of_two(align) || align % sizeof(void*) != 0) return EINVAL;
  void* block = aligned(align, bytes);
  if (block == nullptr) return ENOMEM;
  *result = block;
  return 0;
}

#if defined(MOAI_HAS_MIMALLOC)
// libc's own would look for its header in front of a block that is not its.
MOAI_EXPORT size_t malloc_usable_size(void* block) { return mi_usable_size(block); }
#endif

MOAI_EXPORT void* mmap(void* at, size_t bytes, int protection, int flags, int fd, int64_t offset) {
  return map(SYS_mmap, reinterpret_cast<long>(at), static_cast<long>(bytes), protection, flags, fd,
             offset);
}
MOAI_EXPORT void* mmap64(void* at, size_t bytes, int protection, int flags, int fd,
                         int64_t offset) {
  return mmap(at, bytes, protection, flags, fd, offset);
}
MOAI_EXPORT void* mremap(void* old, size_t old_bytes, size_t bytes, int flags, ...) {
  va_list more;
  va_start(more, flags);
  void* at = (flags & kRemapFixed) != 0 ? va_arg(more, void*) : nullptr;
  va_end(more);
  return map(SYS_mremap, reinterpret_cast<long>(old), static_cast<long>(old_bytes),
             static_cast<long>(bytes), flags, reinterpret_cast<long>(at), 0);
}

#undef MOAI_EXPORT

}  // extern "C"
