#include "src/base/trace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "src/base/fd.h"

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

bool is_whole(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (info.st_size < static_cast<off_t>(kTraceEnd.size())) return false;
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char end[kTraceEnd.size()];
  ssize_t count =
      ::pread(file.fd(), end, sizeof end, info.st_size - static_cast<off_t>(sizeof end));
  return count == static_cast<ssize_t>(sizeof end) &&
         std::string_view(end, sizeof end) == kTraceEnd;
}

}  // namespace

Trace::~Trace() {
  if (fd_ >= 0) ::close(fd_);
}

Status Trace::open(const std::string& path, std::string_view process) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return invalid("--trace: " + path + " cannot be written");
  // Looked at after opening: a file that gets its end meanwhile is another than the opened one.
  if (is_whole(path)) {
    ::close(fd_);
    fd_ = -1;
    return invalid("--trace: " + path + " is whole already; remove it, or name another file");
  }
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
