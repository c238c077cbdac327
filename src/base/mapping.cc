#include "src/base/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace moai {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Status out_of_memory(const char* what, uint64_t bytes, int error) {
  return {StatusCode::resource_exhausted, std::string("[memory] cannot ") + what + " " +
                                              std::to_string(bytes) +
                                              " bytes: " + errno_text(error)};
}

}  // namespace

Mapping& Mapping::operator=(Mapping&& o) noexcept {
  if (this != &o) {
    reset();
    data_ = o.data_, bytes_ = o.bytes_;
    o.data_ = nullptr, o.bytes_ = 0;
  }
  return *this;
}

void Mapping::reset() {
  if (data_) ::munmap(data_, bytes_);
  data_ = nullptr, bytes_ = 0;
}

StatusOr<Mapping> Mapping::map(int fd, uint64_t bytes) {
  int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (at == MAP_FAILED) return out_of_memory("map", bytes, errno);
  Mapping m;
  m.data_ = static_cast<std::byte*>(at), m.bytes_ = bytes;
  return m;
}

StatusOr<Mapping> Mapping::anonymous(uint64_t bytes) { return map(-1, bytes); }
StatusOr<Mapping> Mapping::shared(int fd, uint64_t bytes) { return map(fd, bytes); }

StatusOr<Fd> make_shared_memory(const char* name, uint64_t bytes) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.is_open()) return out_of_memory("share", bytes, errno);
  if (::ftruncate(fd.fd(), static_cast<off_t>(bytes)) != 0)
    return out_of_memory("share", bytes, errno);
  if (::fcntl(fd.fd(), F_ADD_SEALS, kSeals) != 0) return out_of_memory("seal", bytes, errno);
  return fd;
}

Status check_shared_memory(int fd, uint64_t bytes) {
  int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return invalid("[memory] the peer's descriptor is not sealed shared memory");
  if ((seals & kSeals) != kSeals || (seals & F_SEAL_WRITE) != 0)
    return invalid("[memory] the peer's shared memory could be resized: it must be sealed first");
  struct stat s {};
  if (::fstat(fd, &s) != 0 || s.st_size < 0 || static_cast<uint64_t>(s.st_size) < bytes)
    return invalid("[memory] the peer's shared memory is smaller than it said");
  return {};
}

}  // namespace moai
