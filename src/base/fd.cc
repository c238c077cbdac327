#include "src/base/fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace moai {

Fd& Fd::operator=(Fd&& o) noexcept {
  if (this != &o) {
    reset();
    fd_ = o.release();
  }
  return *this;
}

void Fd::reset() {
  // After EINTR the descriptor is closed on Linux: never close twice.
  if (fd_ >= 0) ::close(release());
}

std::string errno_text(int error) {
  char buffer[128];
  // GNU strerror_r: may return a text of its own instead of filling the buffer.
  return std::string(strerror_r(error, buffer, sizeof buffer)) + " (" + std::to_string(error) + ")";
}

StatusOr<Fd> make_eventfd() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.is_open())
    return Status(StatusCode::resource_exhausted,
                  "[fd] no event descriptor: " + errno_text(errno) + "; raise `ulimit -n`");
  return fd;
}

void signal_eventfd(int fd) {
  const uint64_t one = 1;
  // EAGAIN means that the counter is full, so the other side wakes anyway.
  [[maybe_unused]] ssize_t n = ::write(fd, &one, sizeof one);
}

void drain_eventfd(int fd) {
  uint64_t count;
  [[maybe_unused]] ssize_t n = ::read(fd, &count, sizeof count);
}

}  // namespace moai
