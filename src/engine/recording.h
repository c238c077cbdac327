// A file of everything a client sent: messages, and the bytes of its uploads.
//
// "moai-recording 1\n", then per message: u8 kind, u64 body bytes (little endian), body. Uploads
// are inline.
#pragma once
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "moai/status.h"
#include "src/wire/messages.h"

namespace moai::engine {

class RecordingWriter {
 public:
  static StatusOr<std::unique_ptr<RecordingWriter>> open(const std::string& path);
  ~RecordingWriter();
  RecordingWriter(const RecordingWriter&) = delete;
  RecordingWriter& operator=(const RecordingWriter&) = delete;
  void add(uint8_t kind, wire::Span body);
  void flush() { std::fflush(file_); }

 private:
  explicit RecordingWriter(FILE* file) : file_(file) {}
  FILE* file_;
};

class RecordingReader {
 public:
  static StatusOr<std::unique_ptr<RecordingReader>> open(const std::string& path);
  ~RecordingReader();
  RecordingReader(const RecordingReader&) = delete;
  RecordingReader& operator=(const RecordingReader&) = delete;
  // Returns not_found at the end of the file.
  Status next(uint8_t& kind, std::vector<std::byte>& body);

 private:
  Status end_early();
  RecordingReader(FILE* file, uint64_t bytes) : file_(file), bytes_left_(bytes) {}
  FILE* file_;
  uint64_t bytes_left_;
};

}  // namespace moai::engine
