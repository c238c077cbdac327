// Spans in Chrome's trace format, which chrome://tracing and ui.perfetto.dev open. Several
// processes append to one file, a line at a time; who finds it empty begins the list. Once its list
// has an end (cli/trace_file.h) it is not written to any more.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "moai/status.h"
#include "src/base/clock.h"

namespace moai {

// What such a file ends with once it is whole.
inline constexpr std::string_view kTraceEnd = "\n]\n";

class Trace {
 public:
  Trace() = default;
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // `process`: what the viewer calls this process.
  Status open(const std::string& path, std::string_view process);
  bool is_open() const { return fd_ >= 0; }
  // Of the calling thread. Times are those of clock.h. Nothing where no file is open.
  void span(std::string_view name, uint64_t begin_ns, uint64_t end_ns, std::string_view detail);

 private:
  void write(const std::string& line);
  int fd_ = -1;
};

// A span from here to the end of the block.
class SpanScope {
 public:
  SpanScope(Trace& trace, std::string_view name, std::string_view detail)
      : trace_(trace), name_(name), detail_(trace.is_open() ? detail : "") {
    if (trace.is_open()) begin_ns_ = now_ns();
  }
  ~SpanScope() {
    if (begin_ns_ != 0) trace_.span(name_, begin_ns_, now_ns(), detail_);
  }
  SpanScope(const SpanScope&) = delete;
  SpanScope& operator=(const SpanScope&) = delete;

 private:
  Trace& trace_;
  std::string_view name_;
  std::string detail_;
  uint64_t begin_ns_ = 0;
};

}  // namespace moai
