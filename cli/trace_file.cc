#include "cli/trace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "src/base/fd.h"

namespace moai::cli {

namespace {

constexpr std::string_view kBegin = "[\n", kClosed = "\n]\n", kEmpty = "[\n]\n";
constexpr mode_t kMode = 0600;  // as src/base/trace.cc

StatusOr<Fd> open_file(const std::string& path, int flags) {
  Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, kMode));
  if (!file.is_open()) return invalid("--trace: " + path + " cannot be written");
  return file;
}

struct Tail {
  off_t at = 0;  // where the text begins in the file
  std::string text;
  bool ends_with(std::string_view end) const { return text.ends_with(end); }
};

Tail tail_of(const Fd& file) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  char text[8];
  Tail tail{std::max<off_t>(0, info.st_size - static_cast<off_t>(sizeof text)), {}};
  ssize_t count = ::pread(file.fd(), text, sizeof text, tail.at);
  if (count > 0) tail.text.assign(text, static_cast<size_t>(count));
  return tail;
}

// In place of the last bytes. A failure leaves a list without its end, which viewers take.
void replace_end(const Fd& file, const Tail& tail, size_t old_bytes, std::string_view end) {
  off_t at = tail.at + static_cast<off_t>(tail.text.size() - old_bytes);
  if (::pwrite(file.fd(), end.data(), end.size(), at) < 0) return;
  if (::ftruncate(file.fd(), at + static_cast<off_t>(end.size())) != 0) return;
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
  if (tail.text == kEmpty)
    replace_end(file, tail, tail.text.size(), kBegin);
  else if (tail.ends_with(kClosed))
    replace_end(file, tail, kClosed.size(), ",\n");
  return ok_status();
}

void close_trace(const std::string& path) {
  StatusOr<Fd> file = open_file(path, 0);
  if (!file.ok()) return;
  Tail tail = tail_of(*file);
  if (tail.text == kBegin)
    replace_end(*file, tail, 0, "]\n");
  else if (tail.ends_with(",\n"))
    replace_end(*file, tail, 2, kClosed);
}

}  // namespace moai::cli
