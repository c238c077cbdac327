#include "src/base/trace.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace moai {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::string event(const char* phase, std::string_view name) {
  thread_local const int thread = static_cast<int>(::syscall(SYS_gettid));
  char where[64];
  std::snprintf(where, sizeof where, R"(,"ph":"%s","pid":%d,"tid":%d)", phase,
                static_cast<int>(::getpid()), thread);
  return R"({"name":)" + quoted(name) + where;
}

}  // namespace

Trace::~Trace() {
  if (fd_ >= 0) ::close(fd_);
}

Status Trace::open(const std::string& path, std::string_view process) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return invalid("--trace: " + path + " cannot be written");
  if (::lseek(fd_, 0, SEEK_END) == 0) write("[\n");
  write(event("M", "process_name") + R"(,"args":{"name":)" + quoted(process) + "}},\n");
  return ok_status();
}

void Trace::span(std::string_view name, uint64_t begin_ns, uint64_t end_ns,
                 std::string_view detail) {
  if (!is_open()) return;
  char times[96];
  std::snprintf(times, sizeof times, R"(,"ts":%.3f,"dur":%.3f)",
                static_cast<double>(begin_ns) / 1e3, static_cast<double>(end_ns - begin_ns) / 1e3);
  write(event("X", name) + times + R"(,"args":{"detail":)" + quoted(detail) + "}},\n");
}

// One write a line, so that lines of two processes do not mix.
void Trace::write(const std::string& line) {
  if (::write(fd_, line.data(), line.size()) >= 0) return;
  ::close(fd_);
  fd_ = -1;
}

}  // namespace moai
