// Spans in Chrome's trace format, appended to a file that several processes share.
#pragma once
#include <cstdint>
#include <string>

#include "moai/status.h"

namespace moai::engine {

class Trace {
 public:
  Trace() = default;
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Appends to the file; it begins with the "[" that moai run wrote.
  Status open(const std::string& path);
  bool is_open() const { return fd_ >= 0; }
  void span(const char* name, uint64_t begin_ns, uint64_t end_ns, const std::string& detail);

 private:
  int fd_ = -1;
};

}  // namespace moai::engine
