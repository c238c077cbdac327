#include "cli/trace_file.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "src/base/fd.h"
#include "src/base/trace.h"

namespace moai::cli {

namespace {

constexpr std::string_view kBegin = "[\n", kClosed = kTraceEnd, kEmpty = "[\n]\n";
constexpr off_t kTailBytes = 1 << 16;  // holds the last whole line
constexpr mode_t kMode = 0600;         // as src/base/trace.cc

StatusOr<Fd> open_file(const std::string& path, int flags) {
  Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, kMode));
  if (!file.is_open()) return invalid("--trace: " + path + " cannot be written");
  return file;
}

struct Tail {
  off_t at = 0;  // where the text begins in the file
  std::string text;
  bool ends_with(std::string_view end) const { return text.ends_with(end); }
  off_t end() const { return at + static_cast<off_t>(text.size()); }
};

Tail tail_of(const Fd& file) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  Tail tail{std::max<off_t>(0, info.st_size - kTailBytes), {}};
  tail.text.resize(static_cast<size_t>(info.st_size - tail.at));
  ssize_t count = ::pread(file.fd(), tail.text.data(), tail.text.size(), tail.at);
  tail.text.resize(static_cast<size_t>(std::max<ssize_t>(0, count)));
  return tail;
}

bool write_end(const Fd& file, off_t at, std::string_view end) {
  return ::pwrite(file.fd(), end.data(), end.size(), at) == static_cast<ssize_t>(end.size()) &&
         ::ftruncate(file.fd(), at + static_cast<off_t>(end.size())) == 0;
}

// The first `bytes` of a file and an end, under the name that the file had.
bool replace_by_copy(const Fd& file, const std::string& name, off_t bytes, std::string_view end) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) return false;
  std::string copy_name = name + ".XXXXXX";
  Fd copy(::mkostemp(copy_name.data(), O_CLOEXEC));
  if (!copy.is_open()) return false;
  off_t from = 0;
  ssize_t count = 1;
  while (from < bytes && count > 0)
    count = ::sendfile(copy.fd(), file.fd(), &from, static_cast<size_t>(bytes - from));
  bool is_done = from == bytes && write_end(copy, bytes, end) &&
                 ::fchown(copy.fd(), info.st_uid, info.st_gid) == 0 &&
                 ::fchmod(copy.fd(), info.st_mode & 0777) == 0 &&
                 ::rename(copy_name.c_str(), name.c_str()) == 0;
  if (!is_done) ::unlink(copy_name.c_str());
  return is_done;
}

}  // namespace

Status begin_trace(const std::string& path) {
  MOAI_ASSIGN_OR_RETURN(Fd file, open_file(path, O_CREAT | O_TRUNC));
  if (::write(file.fd(), kBegin.data(), kBegin.size()) == static_cast<ssize_t>(kBegin.size()))
    return ok_status();
  return invalid("--trace: " + path + " cannot be written");
}

Status reopen_trace(const std::string& path) {
  MOAI_ASSIGN_OR_RETURN(Fd file, open_file(path, O_CREAT));
  Tail tail = tail_of(file);
  bool is_begun = true;
  if (tail.text == kEmpty)
    is_begun = write_end(file, 0, kBegin);
  else if (tail.ends_with(kClosed))
    is_begun = write_end(file, tail.end() - static_cast<off_t>(kClosed.size()), ",\n");
  if (is_begun) return ok_status();
  return invalid("--trace: " + path + " cannot be written");
}

// A failure leaves a list without its end, which viewers take.
void close_trace(const std::string& path) {
  StatusOr<Fd> file = open_file(path, 0);
  if (!file.ok()) return;
  Tail tail = tail_of(*file);
  if (tail.text.empty() || tail.ends_with(kClosed)) return;
  off_t bytes = static_cast<off_t>(kBegin.size());
  std::string_view end = "]\n";
  if (size_t last = tail.text.rfind(",\n"); last != std::string::npos) {
    bytes = tail.at + static_cast<off_t>(last);  // half a line of a killed process goes
    end = kClosed;
  } else if (tail.text != kBegin) {
    return;
  }
  std::error_code error;
  std::string name = std::filesystem::canonical(path, error);  // a link stays one
  if (error || !replace_by_copy(*file, name, bytes, end)) (void)write_end(*file, bytes, end);
}

}  // namespace moai::cli
