// How the processes of one `moai run` tell it what they counted: lines of JSON in a file that has
// no name, so that it is gone with `moai run`, however that ends.
//
// {"pid":N}             this process uses the accelerator from now on
// {"pid":N,"stats":{}}  what it counted since; a later one of the same process replaces it
#pragma once
#include <sys/types.h>

#include <atomic>
#include <string>

#include "moai/status.h"
#include "src/base/fd.h"

namespace moai {

constexpr const char* kStatsLinesVariable = "MOAI_STATS_LINES";

// The reader's end. Lives as long as its process wants to be told.
class StatsFile {
 public:
  static StatusOr<StatsFile> make();
  // For the environment. Not an inherited descriptor: subprocess and daemons close those.
  std::string path() const;
  std::string read() const;

 private:
  Fd fd_;
};

// A process's end. Nothing stays open in between: a program may close all descriptors.
class StatsLines {
 public:
  // path: that of a StatsFile; empty: nobody wants to be told.
  explicit StatsLines(std::string path) : path_(std::move(path)) {}

  bool is_wanted() const { return !path_.empty(); }

  Status begin();
  // Whether this very process began, not the one that it is a fork of.
  bool has_begun() const;
  // stats: a JSON object on one line. Does nothing before begin().
  Status tell(const std::string& stats) const;

 private:
  Status append(const std::string& line) const;

  const std::string path_;
  std::atomic<pid_t> begun_{0};
};

}  // namespace moai
