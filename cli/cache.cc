// `moai cache`: what this user's cache holds, and a way to empty it.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include "cli/cache_folder.h"
#include "cli/commands.h"
#include "src/base/log.h"
#include "src/base/memory_text.h"

namespace moai::cli {

namespace fs = std::filesystem;

namespace {

uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return fs::file_size(path, error);
  uint64_t bytes = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path, error))
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  return bytes;
}

int show(const fs::path& folder) {
  std::error_code error;
  uint64_t bytes = 0;
  std::printf("%s\n", folder.c_str());
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const uint64_t size = bytes_of(entry.path());
    std::printf("  %-44s %12s\n", entry.path().filename().c_str(), format_bytes(size).c_str());
    bytes += size;
  }
  std::printf("%s in all; `moai cache clear` frees it\n", format_bytes(bytes).c_str());
  return 0;
}

// What moai put there, and nothing else: MOAI_CACHE may name any folder.
int clear(const fs::path& folder) {
  std::error_code error;
  uint64_t bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().starts_with("bridge-")) continue;
    const uint64_t size = bytes_of(entry.path());
    fs::remove_all(entry.path(), error);
    if (error) {
      log_error("cache: " + entry.path().string() + " cannot be removed: " + error.message());
      return kExitRefused;
    }
    bytes += size;
  }
  std::printf("%s freed in %s\n", format_bytes(bytes).c_str(), folder.c_str());
  return 0;
}

int with_folder(int (*what)(const fs::path&)) {
  const StatusOr<fs::path> folder = cache_folder();
  if (folder.ok()) return what(*folder);
  log_error("cache: " + folder.status().message());
  return kExitRefused;
}

}  // namespace

void add_cache(CLI::App& app, int& status) {
  CLI::App* command =
      app.add_subcommand("cache", "Show what is kept on disk for this user, or clear it");
  CLI::App* clears = command->add_subcommand(
      "clear", "Remove it; it is made again when it is needed. Let programs end first");
  command->callback([clears, &status] { status = with_folder(clears->parsed() ? clear : show); });
}

}  // namespace moai::cli
