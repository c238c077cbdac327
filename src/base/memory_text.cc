#include "src/base/memory_text.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace moai {

std::string format_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double amount = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < sizeof kUnits / sizeof *kUnits) amount /= 1024, unit++;
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %s", amount, kUnits[unit]);
  return text;
}

StatusOr<uint64_t> parse_bytes(std::string_view text) {
  std::string copy(text);
  char* end = nullptr;
  double amount = std::strtod(copy.c_str(), &end);
  bool has_number = end != copy.c_str();
  std::string unit;
  for (; *end != 0; end++)
    if (*end != ' ') unit += *end;
  constexpr std::pair<const char*, double> kUnits[] = {
      {"", 1},         {"B", 1},      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
      {"TiB", 0x1p40}, {"K", 0x1p10}, {"M", 0x1p20},   {"G", 0x1p30},   {"T", 0x1p40}};
  for (auto [name, factor] : kUnits)
    if (has_number && unit == name && amount >= 0 && amount * factor < 0x1p62)
      return static_cast<uint64_t>(amount * factor);
  return invalid("\"" + copy + "\" is no amount of memory; write 256MiB or 4GiB");
}

Status out_of_memory_status(uint64_t requested, uint64_t available, uint64_t total) {
  return {StatusCode::resource_exhausted,
          "CUDA out of memory. Tried to allocate " + format_bytes(requested) +
              ". GPU 0 has a total capacity of " + format_bytes(total) + " of which " +
              format_bytes(available) +
              " is free. Use a smaller batch, or a larger accelerator.\n"
              "Error Code 4: OUT_OF_MEMORY\n"
              ">> Memory requested : " +
              std::to_string(requested) +
              " bytes\n"
              ">> Memory available : " +
              std::to_string(available) + " bytes"};
}

}  // namespace moai
