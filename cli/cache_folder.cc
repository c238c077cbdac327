#include "cli/cache_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <system_error>

namespace moai::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* kElsewhere = "; name another folder in MOAI_CACHE";

fs::path variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

StatusOr<fs::path> cache_folder() {
  if (const fs::path given = variable("MOAI_CACHE"); !given.empty()) return fs::absolute(given);
  if (const fs::path given = variable("XDG_CACHE_HOME"); given.is_absolute()) return given / "moai";
  if (const fs::path home = variable("HOME"); home.is_absolute()) return home / ".cache/moai";
  return Status{
      StatusCode::not_found,
      "there is no folder for the cache: neither MOAI_CACHE, XDG_CACHE_HOME nor HOME is set"};
}

StatusOr<fs::path> make_cache_folder() {
  MOAI_ASSIGN_OR_RETURN(const fs::path folder, cache_folder());
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  struct stat found = {};
  if (::mkdir(folder.c_str(), 0700) != 0 && ::stat(folder.c_str(), &found) != 0)
    return Status{StatusCode::permission_denied, folder.string() + " cannot be made" + kElsewhere};
  if (::stat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode))
    return Status{StatusCode::permission_denied, folder.string() + " is no folder" + kElsewhere};
  if (found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return Status{StatusCode::permission_denied,
                  folder.string() +
                      " can be written by others, and programs run what lies in it: chmod 700" +
                      kElsewhere};
  return folder;
}

}  // namespace moai::cli
