// What processes tell `moai run`: whole lines, from forks too, and never into a file of others.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "src/base/stats_lines.h"

namespace moai {
namespace {

StatsFile made() {
  StatusOr<StatsFile> file = StatsFile::make();
  REQUIRE(file.ok());
  return std::move(*file);
}

// The lines that hold something.
std::vector<std::string> lines_of(const StatsFile& file) {
  std::vector<std::string> lines;
  std::istringstream text(file.read());
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) lines.push_back(line);
  return lines;
}

int status_of(pid_t child) {
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_CASE("stats lines: a beginning and what was counted") {
  StatsFile file = made();
  StatsLines lines(file.path());
  CHECK_FALSE(lines.has_begun());
  CHECK(lines.tell("{}").ok());
  CHECK(file.read().empty());
  CHECK(lines.begin().ok());
  CHECK(lines.has_begun());
  CHECK(lines.tell("{\"steps\":1}").ok());
  std::string pid = std::to_string(::getpid());
  CHECK(lines_of(file) ==
        std::vector<std::string>{"{\"pid\":" + pid + "}",
                                 "{\"pid\":" + pid + ",\"stats\":{\"steps\":1}}"});
}

TEST_CASE("stats lines: a fork reaches the file with every descriptor closed, as itself only") {
  StatsFile file = made();
  StatsLines lines(file.path());
  REQUIRE(lines.begin().ok());
  pid_t child = ::fork();
  if (child == 0) {
    for (int fd = 3; fd < 64; fd++) ::close(fd);
    bool is_parents = lines.has_begun() || !lines.tell("{}").ok();
    ::_exit(is_parents || !lines.begin().ok() || !lines.tell("{}").ok() ? 1 : 0);
  }
  REQUIRE(child > 0);
  CHECK(status_of(child) == 0);
  std::string pid = std::to_string(child);
  std::vector<std::string> seen = lines_of(file);
  REQUIRE(seen.size() == 3);
  CHECK(seen[1] == "{\"pid\":" + pid + "}");
  CHECK(seen[2] == "{\"pid\":" + pid + ",\"stats\":{}}");
}

TEST_CASE("stats lines: a half line does not spoil the next one") {
  StatsFile file = made();
  int raw = ::open(file.path().c_str(), O_WRONLY | O_APPEND);
  REQUIRE(::write(raw, "{\"pid\":1,\"st", 12) == 12);
  ::close(raw);
  REQUIRE(StatsLines(file.path()).begin().ok());
  CHECK(lines_of(file).size() == 2);
}

TEST_CASE("stats lines: nobody to tell, and a file of somebody else") {
  CHECK(StatsLines("").begin().ok());
  StatsLines gone("/proc/" + std::to_string(::getpid()) + "/fd/1000000");
  CHECK(gone.begin().message().rfind("[stats] /proc/", 0) == 0);
  std::filesystem::path other =
      std::filesystem::temp_directory_path() / ("moai-other-" + std::to_string(::getpid()));
  std::ofstream(other) << "theirs";
  int fd = ::open(other.c_str(), O_RDWR);
  StatsLines theirs("/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd));
  CHECK(theirs.begin().message().find("is another file") != std::string::npos);
  CHECK(std::filesystem::file_size(other) == 6);
  ::close(fd);
  std::filesystem::remove(other);
}

}  // namespace
}  // namespace moai
