// Keeps the binary startable on glibc 2.34: the static libstdc++ and libgcc of newer compilers ask
// for two younger functions, so the binary brings its own.
#include <link.h>
#include <sys/random.h>

#include <cstdint>

#if __GLIBC_PREREQ(2, 35)
namespace {

struct Search {
  ElfW(Addr) address;
  dl_find_object* result;
};

// Fills the result when the object holds the address.
int look(dl_phdr_info* object, size_t, void* argument) {
  auto* search = static_cast<Search*>(argument);
  bool is_here = false;
  void* eh_frame = nullptr;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    ElfW(Addr) begin = object->dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_GNU_EH_FRAME) eh_frame = reinterpret_cast<void*>(begin);
    if (part.p_type != PT_LOAD || search->address - begin >= part.p_memsz) continue;
    is_here = true;
    search->result->dlfo_map_start = reinterpret_cast<void*>(begin);
    search->result->dlfo_map_end = reinterpret_cast<void*>(begin + part.p_memsz);
  }
  if (!is_here || eh_frame == nullptr) return 0;
  search->result->dlfo_eh_frame = eh_frame;
  return 1;
}

}  // namespace

// glibc 2.35; finds the unwind table of an address for an exception.
extern "C" int _dl_find_object(void* address, dl_find_object* result) noexcept {
  *result = {};
  Search search{reinterpret_cast<ElfW(Addr)>(address), result};
  return ::dl_iterate_phdr(look, &search) == 1 ? 0 : -1;
}
#endif

// glibc 2.36; behind std::random_device.
extern "C" uint32_t arc4random() noexcept {
  uint32_t value = 0;
  while (::getrandom(&value, sizeof value, 0) != sizeof value) continue;
  return value;
}
