#include "src/base/stats_lines.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace moai {
namespace {

constexpr const char* kName = "moai-stats";
constexpr std::string_view kTarget = "/memfd:moai-stats";

Status unreachable(const std::string& path, const std::string& why) {
  return unavailable("[stats] " + path + " " + why +
                     ": the figures of this process are missing in those of `moai run`");
}

}  // namespace

StatusOr<StatsFile> StatsFile::make() {
  StatsFile file;
  file.fd_ = Fd(::memfd_create(kName, MFD_CLOEXEC));
  if (!file.fd_.is_open())
    return Status(StatusCode::resource_exhausted,
                  "[stats] no file in memory: " + errno_text(errno) + "; raise `ulimit -n`");
  return file;
}

std::string StatsFile::path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_.fd());
}

std::string StatsFile::read() const {
  std::string text;
  char chunk[4096];
  while (true) {
    ssize_t n = ::pread(fd_.fd(), chunk, sizeof chunk, static_cast<off_t>(text.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(chunk, static_cast<size_t>(n));
  }
}

Status StatsLines::begin() {
  if (path_.empty()) return {};
  begun_ = ::getpid();
  return append("{\"pid\":" + std::to_string(begun_) + "}");
}

bool StatsLines::has_begun() const { return begun_ == ::getpid(); }

Status StatsLines::tell(const std::string& stats) const {
  if (!has_begun()) return {};
  return append("{\"pid\":" + std::to_string(begun_) + ",\"stats\":" + stats + "}");
}

Status StatsLines::append(const std::string& line) const {
  // Once `moai run` is gone, its number may be another's, and the descriptor a file of theirs.
  char target[64];
  ssize_t bytes = ::readlink(path_.c_str(), target, sizeof target);
  if (bytes < 0) return unreachable(path_, "cannot be read: " + errno_text(errno));
  if (!std::string_view(target, static_cast<size_t>(bytes)).starts_with(kTarget))
    return unreachable(path_, "is another file");
  Fd file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file.is_open()) return unreachable(path_, "cannot be opened: " + errno_text(errno));
  // One write, so lines do not mix; the newline before it ends what a killed process left half.
  std::string whole = "\n" + line + "\n";
  if (::write(file.fd(), whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
    return unreachable(path_, "was not written whole: " + errno_text(errno));
  return {};
}

}  // namespace moai
