#include "src/base/log.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace moai {
namespace {

constexpr const char* kNames[] = {"debug", "info", "warning", "error"};

LogLevel level_from_environment() {
  const char* name = std::getenv("MOAI_LOG");
  for (int i = 0; name && i < 4; i++)
    if (std::strcmp(name, kNames[i]) == 0) return static_cast<LogLevel>(i);
  return LogLevel::info;
}

LogLevel level() {
  static const LogLevel l = level_from_environment();
  return l;
}

std::string time_prefix() {
  const char* wanted = std::getenv("MOAI_LOG_TIME");
  if (!wanted || std::strcmp(wanted, "1") != 0) return {};
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  tm local{};
  localtime_r(&t.tv_sec, &local);
  char text[64], whole[96];
  std::strftime(text, sizeof text, "[%Y-%m-%d %H:%M:%S", &local);
  snprintf(whole, sizeof whole, "%s.%03ld] ", text, t.tv_nsec / 1000000);
  return whole;
}

}  // namespace

void log(LogLevel l, std::string_view text) {
  if (l < level()) return;
  std::string line = time_prefix() + "[" + kNames[static_cast<int>(l)] + "] ";
  line += text;
  line += '\n';
  // Nothing sensible can be done when stderr is closed.
  [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace moai
