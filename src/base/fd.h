// An owned file descriptor, and what every room does with one.
#pragma once
#include <string>

#include "moai/status.h"

namespace moai {

// Closes its descriptor when it dies. -1: none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(o.release()) {}
  Fd& operator=(Fd&& o) noexcept;
  ~Fd() { reset(); }
  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release() {
    int f = fd_;
    fd_ = -1;
    return f;
  }
  void reset();

 private:
  int fd_ = -1;
};

// "no such file or directory (2)": the text of an errno value.
std::string errno_text(int error);

// A close-on-exec, non-blocking eventfd.
StatusOr<Fd> make_eventfd();
void signal_eventfd(int fd);
void drain_eventfd(int fd);

}  // namespace moai
