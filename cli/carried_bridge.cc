#include "cli/carried_bridge.h"

#include <unistd.h>

#include <charconv>
#include <fstream>
#include <string>
#include <system_error>

#include "cli/cache_folder.h"

namespace moai::cli {

namespace fs = std::filesystem;

namespace {

// Of the object that pack_bridge.py makes, which says what lies between.
extern "C" {
extern const char carried_begin[] __asm__("_binary_carried_bridge_start");
extern const char carried_end[] __asm__("_binary_carried_bridge_end");
}

// Removes the line that ends first, and gives it.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view archive() {
  return {carried_begin, static_cast<size_t>(carried_end - carried_begin)};
}

Status write_file(const fs::path& path, std::string_view bytes) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  fs::path temporary = path;
  temporary += ".tmp" + std::to_string(::getpid());
  const bool is_written =
      (std::ofstream(temporary, std::ios::binary) << bytes << std::flush).good();
  if (is_written) fs::rename(temporary, path, error);
  if (is_written && !error) return ok_status();
  fs::remove(temporary, error);
  return Status{StatusCode::permission_denied, path.string() + " cannot be written"};
}

}  // namespace

std::vector<CarriedFile> carried_files() {
  std::vector<CarriedFile> files;
  std::string_view rest = archive();
  take_line(rest);
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const size_t space = line.find(' ');
    size_t size = 0;
    std::from_chars(line.data(), line.data() + space, size);
    files.push_back({line.substr(space + 1), rest.substr(0, size)});
    rest.remove_prefix(size);
  }
  return files;
}

Status write_carried_files(const fs::path& folder) {
  for (const CarriedFile& file : carried_files())
    MOAI_RETURN_IF_ERROR(write_file(folder / file.path, file.bytes));
  return ok_status();
}

StatusOr<fs::path> unpack_bridge() {
  if (carried_files().empty())
    return Status{StatusCode::not_found, "this moai was built without a PyTorch bridge"};
  MOAI_ASSIGN_OR_RETURN(const fs::path cache, make_cache_folder());
  std::string_view rest = archive();
  const fs::path folder = cache / ("bridge-" + std::string(take_line(rest)));
  std::error_code error;
  if (fs::is_directory(folder, error)) return folder;
  fs::path temporary = folder;
  temporary += ".tmp" + std::to_string(::getpid());
  Status status = write_carried_files(temporary);
  if (status.ok()) fs::rename(temporary, folder, error);
  // Another process may have been faster; then its folder is as good.
  if (status.ok() && !fs::is_directory(folder, error))
    status = Status{StatusCode::permission_denied, folder.string() + " cannot be written"};
  fs::remove_all(temporary, error);
  if (!status.ok()) return status;
  return folder;
}

}  // namespace moai::cli
