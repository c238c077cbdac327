#include "src/engine/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace moai::engine {

Trace::~Trace() {
  if (fd_ >= 0) ::close(fd_);
}

Status Trace::open(const std::string& path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  return fd_ >= 0 ? ok_status() : invalid("--trace: " + path + " cannot be written");
}

void Trace::span(const char* name, uint64_t begin_ns, uint64_t end_ns, const std::string& detail) {
  std::string escaped;
  for (char c : detail) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  char head[256];
  std::snprintf(
      head, sizeof head,
      R"({"name":"%s","cat":"worker","ph":"X","ts":%.3f,"dur":%.3f,"pid":%d,"tid":1,"args":{"detail":")",
      name, static_cast<double>(begin_ns) / 1e3, static_cast<double>(end_ns - begin_ns) / 1e3,
      static_cast<int>(::getpid()));
  // One write, so that lines of two processes do not mix.
  std::string line = head + escaped + "\"}},\n";
  if (::write(fd_, line.data(), line.size()) < 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

}  // namespace moai::engine
